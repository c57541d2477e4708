package dev.adapt.formats.method.seeded;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.LowRank;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.random.NumpyRandom;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * Uni-LoRA: LoRA all of whose factors' elements are elements of one trained vector θ [d], each divided by the root of how
 * often it is used (Li et al., arXiv 2506.00799, equation 3): {@code A = θ[i_A]·c[i_A]}, {@code B = θ[i_B]·c[i_B]}. The indices
 * are shuffled by the seed, A then B of each layer in the model's order, and are not stored but with {@code save_indices}.
 *
 * @param length d
 * @param savesIndices whether the adapter's file holds indices and scales too
 */
public record UniLora(int ownRank, int length, long seed, double bound, double dropout, boolean savesIndices)
        implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "UNILORA",
            "unilora",
            (config, metadata) -> of(config),
            MethodType.Training.at(1e-2).rank("r", 4).dropout("unilora_dropout"));

    private static final String THETA = "unilora_theta_d";
    private static final String INDICES_A = "unilora_indices_A";
    private static final String INDICES_B = "unilora_indices_B";
    private static final String SCALES_A = "unilora_scales_A";
    private static final String SCALES_B = "unilora_scales_B";
    private static final String SAVE = "save_indices";

    private static UniLora of(AdapterConfig config) {
        long seed = config.document().whole("proj_seed").orElse(42L);
        if (seed < 0) {
            throw config.document().wrong("proj_seed", "an integer that is not negative");
        }
        return new UniLora(
                config.rank(4),
                config.document().positive("theta_d_length", 1 << 24, 256),
                seed,
                config.document().number("init_theta_d_bound", 0.02),
                config.document().number("unilora_dropout", 0),
                config.document().flag(SAVE, false));
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "Uni-LoRA";
    }

    @Override
    public List<String> partNames() {
        return List.of(INDICES_A, INDICES_B, SCALES_A, SCALES_B);
    }

    @Override
    public boolean isInteger(String part) {
        return part.equals(INDICES_A) || part.equals(INDICES_B);
    }

    @Override
    public List<Integer> integerLimits(String part, Target target) {
        return isInteger(part) ? List.of(length) : List.of();
    }

    @Override
    public Set<String> configFields() {
        return Set.of("init_theta_d_bound", "init_weights", "proj_seed", SAVE, "theta_d_length", "unilora_dropout");
    }

    @Override
    public boolean numbersLayers() {
        return true;
    }

    @Override
    public boolean namesNoLayers() {
        return true;
    }

    @Override
    public boolean sharesStacks(Target target) {
        return false;
    }

    @Override
    public int rank(Target target) {
        return ownRank;
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        Shape a = Shape.of(ownRank, target.in());
        Shape b = Shape.of(target.out(), ownRank);
        return List.of(
                drawn(INDICES_A, a),
                drawn(INDICES_B, b),
                drawn(SCALES_A, a),
                drawn(SCALES_B, b),
                new Part(THETA, Shape.of(length), new Initial.Uniform(bound), Part.Scope.ALL, true, true));
    }

    private Part drawn(String name, Shape shape) {
        return new Part(name, shape, new Initial.Regenerated(), Part.Scope.LAYER, false, savesIndices);
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        T theta = ops.reshape(part.apply(THETA), length, 1);
        T a = ops.mul(ops.reshape(ops.embedding(theta, part.apply(INDICES_A)), 0, 0), part.apply(SCALES_A));
        T b = ops.mul(ops.reshape(ops.embedding(theta, part.apply(INDICES_B)), 0, 0), part.apply(SCALES_B));
        return WeightChange.of(new LowRank<>(b, a, 1));
    }

    @Override
    public void describe(ObjectNode config) {
        config.put("r", ownRank);
        config.put("theta_d_length", length);
        config.put("proj_seed", seed);
        config.put("init_theta_d_bound", bound);
        config.put("init_weights", true);
        config.put(SAVE, savesIndices);
        config.put("unilora_dropout", dropout);
    }

    @Override
    public Map<String, Tensor> regenerate(List<Target> all) {
        int count = all.stream()
                .mapToInt(target -> ownRank * (target.in() + target.out()))
                .reduce(0, Math::addExact);
        int[] indices = indices(count);
        float[] scales = scales(indices);
        Map<String, Tensor> drawn = new LinkedHashMap<>();
        int from = 0;
        for (Target target : all) {
            from = put(drawn, target, INDICES_A, SCALES_A, Shape.of(ownRank, target.in()), indices, scales, from);
            from = put(drawn, target, INDICES_B, SCALES_B, Shape.of(target.out(), ownRank), indices, scales, from);
        }
        return drawn;
    }

    /** Each index as often as the others, or once more, shuffled. */
    private int[] indices(int count) {
        NumpyRandom random = new NumpyRandom(seed);
        int[] indices = new int[count];
        int each = count / length;
        for (int i = 0; i < each * length; i++) {
            indices[i] = i / each;
        }
        if (count % length > 0) {
            System.arraycopy(random.choice(length, count % length), 0, indices, each * length, count % length);
        }
        random.shuffle(indices);
        return indices;
    }

    private float[] scales(int[] indices) {
        int[] counts = new int[length];
        for (int index : indices) {
            counts[index]++;
        }
        float[] scales = new float[length];
        for (int i = 0; i < length; i++) {
            scales[i] = counts[i] == 0 ? 0 : 1 / (float) Math.sqrt(counts[i]);
        }
        return scales;
    }

    private static int put(
            Map<String, Tensor> drawn,
            Target target,
            String indexName,
            String scaleName,
            Shape shape,
            int[] indices,
            float[] scales,
            int from) {
        int count = Math.toIntExact(shape.elements());
        float[] own = new float[count];
        float[] ownScales = new float[count];
        for (int i = 0; i < count; i++) {
            own[i] = indices[from + i];
            ownScales[i] = scales[indices[from + i]];
        }
        drawn.put(target.module() + "." + indexName, new FloatTensor(shape, own));
        drawn.put(target.module() + "." + scaleName, new FloatTensor(shape, ownScales));
        return from + count;
    }

    @Override
    public Optional<String> storingField() {
        return Optional.of(SAVE);
    }
}
