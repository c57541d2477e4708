package dev.adapt.formats.adapter;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.graph.LowRank;
import dev.adapt.formats.graph.Ops;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * LoRA: {@code ΔW = s·B·A}, A [r, in], B [out, r], both trained (Hu et al., arXiv 2106.09685, equation 3), with
 * {@code s = α/r}, or {@code α/√r} for rsLoRA (Kalajdzievski, arXiv 2312.03732). A starts Kaiming-uniform, B at 0.
 *
 * @param rankPattern ranks of modules that differ, by PEFT's module patterns
 * @param alphaPattern alphas of modules that differ, by PEFT's module patterns
 */
public record Lora(
        int rank,
        double alpha,
        boolean rankStabilised,
        double dropout,
        Map<String, Double> rankPattern,
        Map<String, Double> alphaPattern)
        implements AdapterMethod {
    static final String PEFT_TYPE = "LORA";
    private static final String A = "lora_A.weight";
    private static final String B = "lora_B.weight";

    /** LoRA with one rank and alpha for all layers. */
    public Lora(int rank, double alpha, double dropout) {
        this(rank, alpha, false, dropout, Map.of(), Map.of());
    }

    static Lora of(AdapterConfig config) {
        config.refuse(
                "use_dora",
                "use_qalora",
                "use_bdlora",
                "lora_bias",
                "megatron_config",
                "layer_replication",
                "target_parameters",
                "trainable_token_indices",
                "alora_invocation_tokens",
                "arrow_config",
                "kasa_config",
                "monteclora_config",
                "velora_config");
        config.refuseBias();
        return new Lora(
                config.document().positive("r"),
                config.document().number("lora_alpha", 8),
                config.document().says("use_rslora"),
                config.document().number("lora_dropout", 0),
                config.pattern("rank_pattern"),
                config.pattern("alpha_pattern"));
    }

    @Override
    public String peftType() {
        return PEFT_TYPE;
    }

    @Override
    public List<String> partNames() {
        return List.of(A, B);
    }

    @Override
    public int rank(Target target) {
        return (int) match(rankPattern, target, rank);
    }

    private double scale(Target target) {
        double own = match(alphaPattern, target, alpha);
        int r = rank(target);
        return own / (rankStabilised ? Math.sqrt(r) : r);
    }

    /** PEFT takes the first pattern that a module's name ends with. */
    private static double match(Map<String, Double> patterns, Target target, double otherwise) {
        for (Map.Entry<String, Double> entry : patterns.entrySet()) {
            if (Pattern.matches("(.*\\.)?(" + entry.getKey() + ")$", target.module())) {
                return entry.getValue();
            }
        }
        return otherwise;
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        int r = rank(target);
        return List.of(
                Part.trained(A, Shape.of(r, target.in()), new Initial.KaimingUniform(target.in())),
                Part.trained(B, Shape.of(target.out(), r), new Initial.Constant(0)));
    }

    @Override
    public <T> LowRank<T> update(Ops<T> ops, Target target, Function<String, T> part) {
        return new LowRank<>(part.apply(B), part.apply(A), scale(target));
    }

    @Override
    public Optional<Shape> layerShape(Function<String, @Nullable FloatTensor> part) {
        FloatTensor a = part.apply(A);
        FloatTensor b = part.apply(B);
        return a == null || b == null
                ? Optional.empty()
                : Optional.of(Shape.of(b.shape().dim(0), a.shape().dim(1)));
    }

    @Override
    public void describe(ObjectNode config) {
        config.put("r", rank);
        config.put("lora_alpha", alpha);
        config.put("lora_dropout", dropout);
        config.put("use_rslora", rankStabilised);
        config.put("use_dora", false);
        config.put("init_lora_weights", true);
        ObjectNode ranks = config.putObject("rank_pattern");
        rankPattern.forEach((module, value) -> ranks.put(module, value.intValue()));
        ObjectNode alphas = config.putObject("alpha_pattern");
        alphaPattern.forEach(alphas::put);
    }
}
