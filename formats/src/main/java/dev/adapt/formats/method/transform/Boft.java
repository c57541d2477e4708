package dev.adapt.formats.method.transform;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.OutGain;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.StoredParts;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * BOFT: {@code W' = diag(s)·W·(Bₘ···B₁)ᵀ} for m butterfly factors {@code Bᵢ = Pᵢ·R̃ᵢ·Pᵢᵀ} (Liu et al., arXiv 2311.06243,
 * equation 3). R̃ᵢ has rotations on its diagonal, each the Cayley transform of the skew-symmetric part of a trained block.
 * Pᵢ, which PEFT computes and does not store, reorders the half blocks of each run of {@code 2ⁱ⁻¹} blocks, those of even
 * places first. The blocks start at 0 and s at 1.
 *
 * <p>The kernel of a convolution is rotated as PEFT does: its elements, in the order in which they are stored, taken for a
 * matrix [in, out].
 *
 * @param blockSize rows of a block, or 0 where their number is given
 * @param blocks the number of blocks, or 0 where their size is given
 * @param factors m
 */
public record Boft(int blockSize, int blocks, int factors) implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE =
            new MethodType("BOFT", "boft", (config, metadata) -> of(config), MethodType.Training.at(1e-3));

    private static final String R = "boft_R";
    private static final String S = "boft_s";
    private static final String SIZE = "boft_block_size";
    private static final String NUMBER = "boft_block_num";
    private static final String FACTORS = "boft_n_butterfly_factor";

    private static final int USUAL_SIZE = 4;
    private static final int MOST_FACTORS = 16;

    /** Rows of a block of several factors' product. */
    private static final int MOST_TOGETHER = 64;

    private static Boft of(AdapterConfig config) {
        config.requireProbabilities("boft_dropout");
        int number = config.document().integer(NUMBER, 0, 0, AdapterConfig.MOST_RANK);
        int size = config.document().integer(SIZE, number == 0 ? USUAL_SIZE : 0, 0, AdapterConfig.MOST_RANK);
        if ((number == 0) == (size == 0)) {
            throw config.document().wrong(SIZE, "it or " + NUMBER + " to be 0, and the other to be positive");
        }
        return new Boft(size, number, config.document().integer(FACTORS, 1, 0, MOST_FACTORS));
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public List<String> partNames() {
        return List.of(R, S);
    }

    @Override
    public Set<String> configFields() {
        return Set.of(SIZE, NUMBER, FACTORS, "boft_dropout", "init_weights");
    }

    @Override
    public boolean hasLowRankDelta() {
        return false;
    }

    @Override
    public boolean isAdditive() {
        return false;
    }

    /** All of a matrix, for the kernels of convolutions. */
    @Override
    public Delta.Scope scope() {
        return Delta.Scope.MATRIX;
    }

    @Override
    public Delta.Scope scope(Target target) {
        return target.storage() instanceof Storage.Kernel ? Delta.Scope.MATRIX : Delta.Scope.ROW;
    }

    private int size(Target target) {
        return blockSize == 0 ? target.in() / blocks : blockSize;
    }

    @Override
    public Optional<String> undefined(Target target) {
        if (target.embedding()) {
            return Optional.of("is an embedding, and BOFT rotates the inputs of linear layers and convolutions");
        }
        if (factors == 0) {
            return Optional.of("cannot be rotated with " + FACTORS + " 0; give at least 1");
        }
        int given = Math.max(blockSize, blocks);
        int runs = 1 << (factors - 1);
        if (target.in() % given != 0) {
            return Optional.of("has " + target.in() + " inputs, which are no multiple of " + given + ", the config's "
                    + (blockSize == 0 ? NUMBER : SIZE));
        }
        int size = size(target);
        boolean whole = factors == 1 || (size % 2 == 0 && target.in() / size % Math.max(2, runs) == 0);
        return whole
                ? Optional.empty()
                : Optional.of("has " + target.in() / size + " blocks of " + size + " inputs; " + factors
                        + " butterfly factors take blocks of an even size and a multiple of " + Math.max(2, runs)
                        + " of them");
    }

    /** Without its CUDA extension PEFT makes one factor, whatever its config says. */
    @Override
    public AdapterMethod asStored(StoredParts stored) {
        Tensor r = stored.first(R);
        boolean single = r != null && r.shape().rank() == 4 && r.shape().dim(0) == 1;
        return single ? new Boft(blockSize, blocks, 1) : this;
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        int size = size(target);
        boolean kernel = target.storage() instanceof Storage.Kernel;
        return List.of(
                Part.trained(R, Shape.of(factors, target.in() / size, size, size), new Initial.Constant(0)),
                Part.trained(
                        S, kernel ? Shape.of(1, target.out()) : Shape.of(target.out(), 1), new Initial.Constant(1)));
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        int size = size(target);
        int count = target.in() / size;
        T blocks = ops.reshape(part.apply(R), (long) factors * count, size, size);
        T skew = ops.affine(ops.subtract(blocks, ops.transpose(blocks, 0, 2, 1)), 0.5, 0);
        Rotation<T> rotation =
                rotation(ops, ops.transpose(Cayley.exact(ops, skew, factors * count, size), 0, 2, 1), count, size);
        T gains = part.apply(S);
        if (target.storage() instanceof Storage.Kernel) {
            return WeightChange.of(new Delta.Transform<>(Delta.Scope.MATRIX, (tile, w, region) -> {
                T inputs = tile.transpose(tile.reshape(w, target.in(), target.out()), 1, 0);
                T rotated = tile.transpose(rotation.of(tile, inputs, target.out()), 1, 0);
                return tile.reshape(tile.mul(rotated, gains), target.out(), target.in());
            }));
        }
        return WeightChange.of(new Delta.Transform<T>(
                        Delta.Scope.ROW, (tile, w, region) -> rotation.of(tile, w, region.rows())))
                .with(new OutGain.Vector<>(ops.reshape(gains, -1)));
    }

    /** What multiplies rows by {@code (Bₘ···B₁)ᵀ}. */
    private interface Rotation<T> {
        T of(MatrixOps<T> ops, T w, int rows);
    }

    /**
     * The factors one after the other, or their product. That has blocks as large as the runs of the last factor: while these
     * are small, one product of them takes no longer than one of a factor, and needs no reordering of the weight.
     */
    private <T> Rotation<T> rotation(MatrixOps<T> ops, T turned, int count, int size) {
        int run = size << (factors - 1);
        if (factors == 1 || run > MOST_TOGETHER) {
            return (tile, w, rows) -> rotated(tile, w, turned, rows, count, size);
        }
        int runs = count * size / run;
        T units = ops.concat(1, Collections.nCopies(runs, ops.reshape(ops.identity(1, run), run, run)));
        T product = rotated(ops, units, turned, run, count, size);
        T blocks = ops.transpose(ops.reshape(product, run, runs, run), 1, 0, 2);
        return (tile, w, rows) -> tile.matMulBlocks(w, blocks, rows, runs, run);
    }

    /** {@code w·(Bₘ···B₁)ᵀ}, factor by factor. */
    private <T> T rotated(MatrixOps<T> ops, T w, T turned, int rows, int count, int size) {
        T result = w;
        for (int i = 0; i < factors; i++) {
            int run = 1 << i;
            T own = ops.slice(turned, 0, (long) i * count, (long) (i + 1) * count);
            T ordered = run == 1 ? result : exchanged(ops, result, rows, count / run, 2, run, size / 2);
            T rotated = ops.matMulBlocks(ordered, own, rows, count, size);
            result = run == 1 ? rotated : exchanged(ops, rotated, rows, count / run, run, 2, size / 2);
        }
        return result;
    }

    /** The half blocks of each run, seen as [first, second], in the order of [second, first]. */
    private static <T> T exchanged(MatrixOps<T> ops, T w, int rows, int runs, int first, int second, int half) {
        T seen = ops.reshape(w, rows, runs, first, second, half);
        return ops.reshape(ops.transpose(seen, 0, 1, 3, 2, 4), rows, (long) runs * first * second * half);
    }

    @Override
    public void describe(ObjectNode config) {
        config.put(SIZE, blockSize);
        config.put(NUMBER, blocks);
        config.put(FACTORS, factors);
        config.put("boft_dropout", 0.0);
        config.put("init_weights", true);
    }
}
