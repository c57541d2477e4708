package dev.adapt.formats.method.transform;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * OFT: {@code W' = W·Rᵀ} for a block-diagonal rotation R of the inputs (Qiu et al., arXiv 2306.07280, equation 4, as PEFT
 * applies it). A block is the Cayley transform {@code (I - Q)·(I + Q)⁻¹} of a skew-symmetric Q, or with
 * {@code use_cayley_neumann} {@code (I + Q)·Σ Qᵏ} cut after some terms (arXiv 2506.19847). The elements above the diagonal
 * of each Q are trained, and start at 0. The rows of an embedding are rotated as {@code W·R}.
 *
 * @param rank the number of blocks, or 0 where their size is given
 * @param blockSize rows of a block, or 0 where their number is given
 * @param constrained whether the norm of each Q is bounded by {@code epsilon} (COFT)
 * @param shared whether all blocks are one
 * @param neumannTerms terms of the sum, or 0 for the exact transform
 */
public record Oft(int rank, int blockSize, boolean constrained, double epsilon, boolean shared, int neumannTerms)
        implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE =
            new MethodType("OFT", "oft", (config, metadata) -> of(config), MethodType.Training.at(1e-3));

    private static final String R = "oft_R.weight";
    private static final String EMBEDDING_R = "oft_embedding_R.weight";
    private static final String MERGE_WITH_OLD_PEFT =
            "PEFT reads it no longer either; merge it with the PEFT that made it";
    private static final int USUAL_BLOCK = 32;

    private static Oft of(AdapterConfig config) {
        config.requireProbabilities("module_dropout");
        int rank = config.document().integer("r", 0, 0, Integer.MAX_VALUE);
        int usual = rank == 0 ? USUAL_BLOCK : 0;
        int size = config.document().integer("oft_block_size", usual, 0, Integer.MAX_VALUE);
        if ((rank == 0) == (size == 0)) {
            throw config.document().wrong("oft_block_size", "it or r to be 0, and the other to be positive");
        }
        boolean neumann = config.document().flag("use_cayley_neumann", true);
        int terms = config.document().integer("num_cayley_neumann_terms", 5, 1, 64);
        return new Oft(
                rank,
                size,
                config.document().flag("coft", false),
                config.document().number("eps", 6e-5),
                config.document().flag("block_share", false),
                neumann ? terms : 0);
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return constrained ? "COFT" : "OFT";
    }

    @Override
    public List<String> partNames() {
        return List.of(R, EMBEDDING_R);
    }

    @Override
    public Set<String> configFields() {
        return Set.of(
                "block_share",
                "coft",
                "eps",
                "init_weights",
                "module_dropout",
                "num_cayley_neumann_terms",
                "oft_block_size",
                "use_cayley_neumann");
    }

    @Override
    public boolean hasLowRankDelta() {
        return false;
    }

    @Override
    public boolean isAdditive() {
        return false;
    }

    /** All of a matrix, for embeddings. */
    @Override
    public Delta.Scope scope() {
        return Delta.Scope.MATRIX;
    }

    @Override
    public Delta.Scope scope(Target target) {
        return target.embedding() ? Delta.Scope.MATRIX : Delta.Scope.ROW;
    }

    @Override
    public boolean adaptsEmbedding(Function<String, @Nullable Tensor> part) {
        return part.apply(EMBEDDING_R) != null;
    }

    @Override
    public Optional<String> misfit(Target target) {
        return Optional.empty();
    }

    @Override
    public Optional<String> outdated(String name) {
        return switch (name) {
            case "oft_r" -> Optional.of("is of PEFT's OFT before 0.15, which rotated outputs; " + MERGE_WITH_OLD_PEFT);
            case "oft_R", "oft_s" ->
                Optional.of("is of PEFT 0.15's OFT, which stored whole blocks; " + MERGE_WITH_OLD_PEFT);
            default -> Optional.empty();
        };
    }

    /** How many values are rotated: the inputs of a layer, the width of an embedding. */
    private static int width(Target target) {
        return target.embedding() ? target.out() : target.in();
    }

    /** Rows of a block of this target: PEFT takes the nearest divisor of what is rotated. */
    private int size(Target target) {
        int width = width(target);
        return rank == 0 ? divisor(width, blockSize) : width / divisor(width, rank);
    }

    /** The divisor of {@code of} nearest to {@code wanted}, the smaller of two. */
    private static int divisor(int of, int wanted) {
        if (wanted >= of) {
            return of;
        }
        int higher = wanted;
        while (of % higher != 0) {
            higher++;
        }
        int lower = wanted;
        while (of % lower != 0) {
            lower--;
        }
        return wanted - lower <= higher - wanted ? lower : higher;
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        int size = size(target);
        int blocks = shared ? 1 : width(target) / size;
        String name = target.embedding() ? EMBEDDING_R : R;
        return List.of(Part.trained(name, Shape.of(blocks, size * (size - 1L) / 2), new Initial.Constant(0)));
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        int size = size(target);
        int blocks = width(target) / size;
        int own = shared ? 1 : blocks;
        T rotation = rotation(ops, part.apply(target.embedding() ? EMBEDDING_R : R), own, size);
        T all = shared && blocks > 1 ? ops.concat(0, Collections.nCopies(blocks, rotation)) : rotation;
        if (target.embedding()) {
            return WeightChange.of(new Delta.Transform<>(Delta.Scope.MATRIX, (tile, w, region) -> {
                T rows = tile.transpose(w, 1, 0);
                return tile.transpose(tile.matMulBlocks(rows, all, region.columns(), blocks, size), 1, 0);
            }));
        }
        T turned = ops.transpose(all, 0, 2, 1);
        return WeightChange.of(new Delta.Transform<>(
                Delta.Scope.ROW, (tile, w, region) -> tile.matMulBlocks(w, turned, region.rows(), blocks, size)));
    }

    /** Each Q with its norm cut to {@code epsilon/√blocks}. */
    private <T> T bounded(MatrixOps<T> ops, T q, int blocks) {
        T norm = ops.sqrt(ops.sum(ops.sum(ops.mul(q, q), 2), 1));
        T ratio = ops.div(ops.constant((float) (epsilon / Math.sqrt(blocks))), norm);
        T gain = ops.affine(ops.activation(ops.affine(ratio, -1, 1), Activation.RELU), -1, 1);
        return ops.mul(q, gain);
    }

    private <T> T rotation(MatrixOps<T> ops, T upper, int blocks, int size) {
        T skew = Cayley.skew(ops, upper, blocks, size);
        T q = constrained ? bounded(ops, skew, blocks) : skew;
        return neumannTerms == 0
                ? Cayley.exact(ops, q, blocks, size)
                : Cayley.neumann(ops, q, blocks, size, neumannTerms);
    }

    @Override
    public void describe(ObjectNode config) {
        config.put("r", rank);
        config.put("oft_block_size", blockSize);
        config.put("coft", constrained);
        config.put("eps", epsilon);
        config.put("block_share", shared);
        config.put("init_weights", true);
        config.put("module_dropout", 0.0);
        config.put("use_cayley_neumann", neumannTerms > 0);
        config.put("num_cayley_neumann_terms", neumannTerms > 0 ? neumannTerms : 5);
    }
}
