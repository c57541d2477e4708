package dev.adapt.formats.method.seeded;

import com.fasterxml.jackson.databind.node.IntNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.LowRank;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Compaction;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * VB-LoRA: LoRA whose factors are cut into vectors of length b, each a mixture of k vectors of a bank [h, b] that all layers
 * share (Li, Han and Ji, arXiv 2405.15179, equation 3). Logits A [r, in/b, h] and B [out/b, r, h] say which: the k largest,
 * weighted by their softmax.
 *
 * <p>With {@code save_only_topk_weights} a file holds the indices of the k largest and all but the last of their weights in
 * the place of the logits; what is left out is not known any more, so that such an adapter cannot be trained on.
 *
 * @param bankSize h
 * @param vectorLength b
 * @param top k
 * @param onlyTop whether only what is left of the logits is stored
 */
public record VbLora(
        int ownRank,
        int bankSize,
        int vectorLength,
        int top,
        boolean onlyTop,
        double bankBound,
        double logitsDeviation,
        double dropout)
        implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "VBLORA",
            "vblora",
            (config, metadata) -> of(config),
            // 128 divides the widths of small encoders too, such as 384; PEFT's default, 256, does not
            MethodType.Training.at(1e-2)
                    .rank("r", 4)
                    .dropout("vblora_dropout")
                    .set("vector_length", IntNode.valueOf(128)));

    private static final String BANK = "vblora_vector_bank";
    private static final String A = "vblora_logits_A";
    private static final String B = "vblora_logits_B";
    private static final String INDICES = "_topk_indices";
    private static final String WEIGHTS = "_topk_weights";
    private static final String SAVE = "save_only_topk_weights";

    /** A logit that no softmax sees, and finite: 0 times it is 0. */
    private static final double HIDDEN = -1e30;

    private static VbLora of(AdapterConfig config) {
        int bank = positive(config, "num_vectors", 256);
        int top = positive(config, "topk", 2);
        if (top > bank) {
            throw config.document().wrong("topk", "at most num_vectors, " + bank);
        }
        return new VbLora(
                config.rank(4),
                bank,
                positive(config, "vector_length", 256),
                top,
                config.document().flag(SAVE, false),
                config.document().number("init_vector_bank_bound", 0.02),
                config.document().number("init_logits_std", 0.1),
                config.document().number("vblora_dropout", 0));
    }

    private static int positive(AdapterConfig config, String field, int usual) {
        return config.document().positive(field, 1 << 24, usual);
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "VB-LoRA";
    }

    @Override
    public List<String> partNames() {
        return onlyTop ? List.of(A + INDICES, A + WEIGHTS, B + INDICES, B + WEIGHTS) : List.of(A, B);
    }

    @Override
    public Set<String> configFields() {
        return Set.of(
                "init_logits_std",
                "init_vector_bank_bound",
                "num_vectors",
                SAVE,
                "topk",
                "vblora_dropout",
                "vector_length");
    }

    @Override
    public int rank(Target target) {
        return ownRank;
    }

    @Override
    public Optional<String> untrainable() {
        return onlyTop ? Optional.of("with " + SAVE + " the logits of other vectors are lost") : Optional.empty();
    }

    @Override
    public List<Integer> integerLimits(String part, Target target) {
        return isInteger(part) ? List.of(bankSize) : List.of();
    }

    @Override
    public boolean isInteger(String part) {
        return part.endsWith(INDICES);
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        List<Part> parts = new ArrayList<>();
        add(parts, A, ownRank, target.in() / vectorLength);
        add(parts, B, target.out() / vectorLength, ownRank);
        parts.add(new Part(
                BANK,
                Shape.of(bankSize, vectorLength),
                new Initial.Uniform(bankBound),
                Part.Scope.ALL,
                !onlyTop,
                true));
        return parts;
    }

    private void add(List<Part> parts, String name, int rows, int columns) {
        if (onlyTop) {
            parts.add(Part.frozen(name + INDICES, Shape.of(rows, columns, top), new Initial.Constant(0)));
            parts.add(Part.frozen(name + WEIGHTS, Shape.of(rows, columns, top - 1), new Initial.Constant(0)));
        } else {
            parts.add(Part.trained(name, Shape.of(rows, columns, bankSize), new Initial.Normal(logitsDeviation)));
        }
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        T a = mixtures(ops, part, A);
        T b = mixtures(ops, part, B);
        return WeightChange.of(new LowRank<>(
                ops.reshape(ops.transpose(b, 0, 2, 1), target.out(), ownRank),
                ops.reshape(a, ownRank, target.in()),
                1));
    }

    /** The vectors that logits [m, n, h] mix, [m, n, b]. */
    private <T> T mixtures(MatrixOps<T> ops, Function<String, T> part, String logits) {
        T bank = part.apply(BANK);
        if (onlyTop) {
            return ofTop(ops, part, logits, bank);
        }
        T own = part.apply(logits);
        T hidden = ops.computed(own, this::hidden);
        return ops.matMul(ops.softmax(ops.add(own, hidden)), bank);
    }

    private <T> T ofTop(MatrixOps<T> ops, Function<String, T> part, String logits, T bank) {
        T vectors = ops.embedding(bank, part.apply(logits + INDICES));
        List<T> weights = new ArrayList<>();
        T last = ops.constant(1f);
        for (int i = 0; i < top - 1; i++) {
            T own = ops.slice(part.apply(logits + WEIGHTS), 2, i, i + 1L);
            weights.add(own);
            last = ops.subtract(last, own);
        }
        T sum = null;
        for (int i = 0; i < top; i++) {
            T vector = ops.reshape(ops.slice(vectors, 2, i, i + 1L), 0, 0, vectorLength);
            T term = ops.mul(vector, i < top - 1 ? weights.get(i) : last);
            sum = sum == null ? term : ops.add(sum, term);
        }
        return Objects.requireNonNull(sum);
    }

    /** 0 for the largest logits of each row, of equals the first, and {@link #HIDDEN} for the others. */
    private DoubleTensor hidden(DoubleTensor logits) {
        double[] values = new double[logits.values().length];
        Arrays.fill(values, HIDDEN);
        for (int from = 0; from < values.length; from += bankSize) {
            for (int i : largest(logits.values(), from)) {
                values[from + i] = 0;
            }
        }
        return new DoubleTensor(logits.shape(), values);
    }

    /** Which of a row's logits are the k largest, in descending order; of equals the first. */
    private int[] largest(double[] logits, int from) {
        return IntStream.range(0, bankSize)
                .boxed()
                .sorted(Comparator.comparingDouble(i -> -logits[from + i]))
                .limit(top)
                .mapToInt(Integer::intValue)
                .toArray();
    }

    @Override
    public boolean isSmallest() {
        return onlyTop;
    }

    /** With {@code save_only_topk_weights}. */
    @Override
    public Optional<Compaction> compaction() {
        return onlyTop
                ? Optional.empty()
                : Optional.of(new Compaction(
                        new VbLora(ownRank, bankSize, vectorLength, top, true, bankBound, logitsDeviation, dropout),
                        part -> {
                            Map<String, FloatTensor> parts = new LinkedHashMap<>();
                            putTop(DoubleTensor.of(part.apply(A)), A, parts);
                            putTop(DoubleTensor.of(part.apply(B)), B, parts);
                            return parts;
                        }));
    }

    private void putTop(DoubleTensor logits, String name, Map<String, FloatTensor> parts) {
        int rows = logits.values().length / bankSize;
        float[] indices = new float[rows * top];
        float[] weights = new float[rows * (top - 1)];
        for (int row = 0; row < rows; row++) {
            int from = row * bankSize;
            int[] largest = largest(logits.values(), from);
            double most = logits.values()[from + largest[0]];
            double sum = IntStream.of(largest)
                    .mapToDouble(i -> Math.exp(logits.values()[from + i] - most))
                    .sum();
            for (int i = 0; i < top; i++) {
                indices[row * top + i] = largest[i];
                if (i < top - 1) {
                    weights[row * (top - 1) + i] = (float) (Math.exp(logits.values()[from + largest[i]] - most) / sum);
                }
            }
        }
        long[] dims = logits.shape().toArray();
        parts.put(name + INDICES, new FloatTensor(Shape.of(dims[0], dims[1], top), indices));
        parts.put(name + WEIGHTS, new FloatTensor(Shape.of(dims[0], dims[1], top - 1), weights));
    }

    @Override
    public Optional<String> misfit(Target target) {
        return undefined(target);
    }

    @Override
    public Optional<String> undefined(Target target) {
        return target.in() % vectorLength == 0 && target.out() % vectorLength == 0
                ? Optional.empty()
                : Optional.of("is " + target.shape() + ", which vector_length " + vectorLength + " does not divide");
    }

    @Override
    public Optional<Shape> layerShape(Function<String, @Nullable Tensor> part) {
        Tensor a = part.apply(onlyTop ? A + INDICES : A);
        Tensor b = part.apply(onlyTop ? B + INDICES : B);
        return a == null || b == null
                ? Optional.empty()
                : Optional.of(
                        Shape.of(b.shape().dim(0) * vectorLength, a.shape().dim(1) * vectorLength));
    }

    @Override
    public void describe(ObjectNode config) {
        config.put("r", ownRank);
        config.put("num_vectors", bankSize);
        config.put("vector_length", vectorLength);
        config.put("topk", top);
        config.put(SAVE, onlyTop);
        config.put("init_vector_bank_bound", bankBound);
        config.put("init_logits_std", logitsDeviation);
        config.put("vblora_dropout", dropout);
    }
}
