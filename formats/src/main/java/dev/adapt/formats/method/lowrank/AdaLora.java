package dev.adapt.formats.method.lowrank;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.LowRank;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.ModuleNumbers;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
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
import org.jspecify.annotations.Nullable;

/**
 * AdaLoRA: {@code ΔW = s·P·diag(λ)·Q}, P [out, r], λ [r, 1], Q [r, in] (Zhang et al., arXiv 2303.10512, equation 3), with
 * {@code s = α/(r₀ + 1e-5)}, r₀ the rank at the start. Training takes away directions of little importance; PEFT stores those
 * that are left, and which they are in {@code rank_pattern}.
 *
 * @param initialRank r₀
 * @param ranks what is left of it, by module
 */
public record AdaLora(int initialRank, double alpha, double dropout, Map<String, Integer> ranks)
        implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "ADALORA",
            "adalora",
            (config, metadata) -> of(config),
            MethodType.Training.at(1e-3)
                    .rank("init_r", 12)
                    .alpha("lora_alpha", 1)
                    .dropout("lora_dropout"));

    private static final String Q = "lora_A";
    private static final String P = "lora_B";
    private static final String LAMBDA = "lora_E";
    private static final String PATTERN = "rank_pattern";
    private static final float EPSILON = 1e-5f;

    private static final Set<String> FIELDS = Set.of(
            "init_r",
            "target_r",
            "tinit",
            "tfinal",
            "deltaT",
            "beta1",
            "beta2",
            "orth_reg_weight",
            "total_step",
            PATTERN,
            "alpha_pattern",
            "corda_config",
            "ensure_weight_tying",
            "eva_config",
            "init_lora_weights",
            "loftq_config",
            "lora_alpha",
            "lora_dropout",
            "megatron_core",
            "qalora_group_size",
            "runtime_config",
            "use_rslora");

    public AdaLora {
        ranks = Map.copyOf(ranks);
    }

    private static AdaLora of(AdapterConfig config) {
        config.refuse("use_dora", "lora_bias", "layer_replication", "target_parameters", "trainable_token_indices");
        return new AdaLora(
                config.document().positive("init_r", AdapterConfig.MOST_RANK, 12),
                config.document().number("lora_alpha", 8),
                config.document().number("lora_dropout", 0),
                ranks(config));
    }

    /** {@code rank_pattern} has a list of booleans under each module's name and {@code .lora_E}: which directions are left. */
    private static Map<String, Integer> ranks(AdapterConfig config) {
        Map<String, Integer> ranks = new LinkedHashMap<>();
        for (Map.Entry<String, JsonNode> entry :
                config.document().json().path(PATTERN).properties()) {
            if (!entry.getValue().isArray()) {
                throw config.document().wrong(PATTERN, "a list of booleans for each module");
            }
            int left = 0;
            for (JsonNode kept : entry.getValue()) {
                left += kept.asBoolean() ? 1 : 0;
            }
            ranks.put(entry.getKey().replaceFirst("\\.lora_E(\\.default)?$", ""), left);
        }
        return ranks;
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "AdaLoRA";
    }

    @Override
    public List<String> partNames() {
        return List.of(Q, P, LAMBDA);
    }

    @Override
    public Set<String> configFields() {
        return FIELDS;
    }

    private int left(Target target) {
        return ranks.getOrDefault(target.module(), initialRank);
    }

    @Override
    public int rank(Target target) {
        return Math.max(1, left(target));
    }

    @Override
    public Optional<String> untrainable() {
        return Optional.of("it needs the rank allocator of its paper");
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        int r = left(target);
        return List.of(
                Part.trained(Q, Shape.of(r, target.in()), new Initial.Normal(0.02)),
                Part.trained(P, Shape.of(target.out(), r), new Initial.Normal(0.02)),
                Part.trained(LAMBDA, Shape.of(r, 1), new Initial.Constant(0)));
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        if (left(target) == 0) {
            return WeightChange.of(new LowRank<>(zeros(ops, target.out(), 1), zeros(ops, 1, target.in()), 1));
        }
        return WeightChange.of(new LowRank<>(
                part.apply(P),
                part.apply(Q),
                Optional.empty(),
                Optional.of(ops.reshape(part.apply(LAMBDA), -1)),
                (alpha > 0 ? alpha : initialRank) / (initialRank + EPSILON)));
    }

    private static <T> T zeros(MatrixOps<T> ops, int rows, int columns) {
        return ops.constant(new FloatTensor(Shape.of(rows, columns), new float[rows * columns]));
    }

    @Override
    public Optional<Shape> layerShape(Function<String, @Nullable Tensor> part) {
        return AdapterMethod.productShape(part.apply(P), part.apply(Q));
    }

    @Override
    public void describe(ObjectNode config) {
        config.put("init_r", initialRank);
        ModuleNumbers.put(config, "lora_alpha", alpha);
        config.put("lora_dropout", dropout);
        config.put("init_lora_weights", true);
        if (ranks.isEmpty()) {
            config.putNull(PATTERN);
            return;
        }
        ObjectNode pattern = config.putObject(PATTERN);
        ranks.forEach((module, left) -> {
            ArrayNode kept = pattern.putArray(module + "." + LAMBDA);
            for (int i = 0; i < Math.max(initialRank, left); i++) {
                kept.add(i < left);
            }
        });
    }
}
