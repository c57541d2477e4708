package dev.adapt.formats.method.gain;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.ModuleNumbers;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.StoredParts;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * HiRA: {@code W' = W + W ⊙ (B·A)}, A [r, in], B [out, r], both trained (Huang et al., "HiRA: Parameter-Efficient Hadamard
 * High-Rank Adaptation", ICLR 2025, equation 4). A starts Kaiming-uniform, B at 0; of an embedding of n rows, {@code in =
 * n}, A at 0 and B normal.
 */
public record Hira(ModuleNumbers rank, double dropout) implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "HIRA",
            "hira",
            (config, metadata) -> of(config),
            MethodType.Training.at(1e-2).rank("r", 32));

    private static final String A = "hira_A";
    private static final String B = "hira_B";
    private static final String EMBEDDING_A = "hira_embedding_A";
    private static final String EMBEDDING_B = "hira_embedding_B";
    private static final String DROPOUT = "hira_dropout";

    private static Hira of(AdapterConfig config) {
        config.requireProbabilities(DROPOUT);
        return new Hira(
                ModuleNumbers.ranks(config, 32, "rank_pattern"),
                config.document().number(DROPOUT, 0));
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "HiRA";
    }

    @Override
    public List<String> partNames() {
        return List.of(A, B, EMBEDDING_A, EMBEDDING_B);
    }

    @Override
    public Set<String> configFields() {
        return Set.of(DROPOUT, "init_weights", "rank_pattern");
    }

    @Override
    public boolean adaptsEmbedding(Function<String, @Nullable Tensor> part) {
        return part.apply(EMBEDDING_A) != null || part.apply(EMBEDDING_B) != null;
    }

    @Override
    public int rank(Target target) {
        return (int) rank.of(target.module());
    }

    /** PEFT 0.21 writes {@code rank_pattern} and gives all layers the usual rank, which their tensors then have. */
    @Override
    public AdapterMethod asStored(StoredParts stored) {
        boolean usual = stored.modules().stream()
                .allMatch(module -> Stream.of(A, EMBEDDING_A)
                        .map(part -> stored.of(module, part))
                        .filter(Objects::nonNull)
                        .allMatch(tensor ->
                                tensor.shape().rank() == 2 && tensor.shape().dim(0) == rank.usual()));
        return usual ? new Hira(rank.with(Map.of()), dropout) : this;
    }

    @Override
    public boolean hasLowRankDelta() {
        return false;
    }

    @Override
    public boolean isAdditive() {
        return false;
    }

    @Override
    public Optional<String> undefined(Target target) {
        return target.storage() instanceof Storage.Kernel
                ? Optional.of("is a convolution, whose weight adapt does not change by HiRA; adapt linear layers")
                : Optional.empty();
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        int r = rank(target);
        Shape a = Shape.of(r, target.in());
        Shape b = Shape.of(target.out(), r);
        return target.embedding()
                ? List.of(
                        Part.trained(EMBEDDING_A, a, new Initial.Constant(0)),
                        Part.trained(EMBEDDING_B, b, new Initial.Normal(1)))
                : List.of(
                        Part.trained(A, a, new Initial.KaimingUniform(target.in())),
                        Part.trained(B, b, new Initial.Constant(0)));
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        T a = part.apply(target.embedding() ? EMBEDDING_A : A);
        T b = part.apply(target.embedding() ? EMBEDDING_B : B);
        return WeightChange.of(new Delta.Transform<>(Delta.Scope.ELEMENT, (tile, w, region) -> {
            T product = tile.matMul(
                    tile.slice(b, 0, region.row(), region.rowEnd()),
                    tile.slice(a, 1, region.column(), region.columnEnd()));
            return tile.mul(w, tile.affine(product, 1, 1));
        }));
    }

    @Override
    public Optional<Shape> layerShape(Function<String, @Nullable Tensor> part) {
        boolean embedding = adaptsEmbedding(part);
        return AdapterMethod.productShape(
                part.apply(embedding ? EMBEDDING_B : B), part.apply(embedding ? EMBEDDING_A : A));
    }

    @Override
    public void describe(ObjectNode config) {
        rank.describe(config, "r", "rank_pattern");
        config.put(DROPOUT, dropout);
        config.put("init_weights", true);
    }
}
