package dev.adapt.formats.adapter;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.graph.LowRank;
import dev.adapt.formats.graph.Ops;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * LoRA: {@code ΔW = s·B·A}, A [r, in], B [out, r], both trained (Hu et al., arXiv 2106.09685, equation 3), with
 * {@code s = α/r}, or {@code α/√r} for rsLoRA (Kalajdzievski, arXiv 2312.03732). A starts Kaiming-uniform, B at 0.
 *
 * <p>DoRA (Liu et al., arXiv 2402.09353, equation 5) trains beside them the norms m [out] of the adapted weight's rows,
 * {@code W' = diag(m/‖W + ΔW‖)·(W + ΔW)}; m starts at ‖W‖.
 *
 * @param dora whether it is DoRA
 * @param rankPattern ranks of modules that differ, by PEFT's module patterns
 * @param alphaPattern alphas of modules that differ, by PEFT's module patterns
 */
public record Lora(
        int rank,
        double alpha,
        boolean rankStabilised,
        boolean dora,
        double dropout,
        Map<String, Double> rankPattern,
        Map<String, Double> alphaPattern)
        implements AdapterMethod {
    static final String PEFT_TYPE = "LORA";
    private static final String A = "lora_A.weight";
    private static final String B = "lora_B.weight";
    private static final String MAGNITUDE = "lora_magnitude_vector";

    /** LoRA with one rank and alpha for all layers. */
    public Lora(int rank, double alpha, double dropout) {
        this(rank, alpha, false, false, dropout, Map.of(), Map.of());
    }

    static Lora of(AdapterConfig config) {
        config.refuse(
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
                config.document().says("use_dora"),
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
        return dora ? List.of(A, B, MAGNITUDE) : List.of(A, B);
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
        List<Part> parts = new ArrayList<>();
        parts.add(Part.trained(A, Shape.of(r, target.in()), new Initial.KaimingUniform(target.in())));
        parts.add(Part.trained(B, Shape.of(target.out(), r), new Initial.Constant(0)));
        if (dora) {
            parts.add(Part.trained(MAGNITUDE, Shape.of(target.out()), new Initial.RowNorms()));
        }
        return parts;
    }

    @Override
    public <T> LowRank<T> update(Ops<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        return new LowRank<>(
                part.apply(B),
                part.apply(A),
                Optional.empty(),
                Optional.empty(),
                scale(target),
                dora ? Optional.of(part.apply(MAGNITUDE)) : Optional.empty());
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
        config.put("use_dora", dora);
        config.put("init_lora_weights", true);
        ObjectNode ranks = config.putObject("rank_pattern");
        rankPattern.forEach((module, value) -> ranks.put(module, value.intValue()));
        ObjectNode alphas = config.putObject("alpha_pattern");
        alphaPattern.forEach(alphas::put);
    }
}
