package dev.adapt.formats.method.lowrank;

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
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * LoRA-XS: {@code ΔW = B·R·A}, of which only R [r, r] is trained; B = U·Σ [out, r] and A = Vᵀ [r, in] are the frozen weight's
 * first singular vectors (Bałazy et al., arXiv 2405.17604, equation 2), and R starts at 0.
 *
 * <p>PEFT has no such method. An adapter folder is laid out as PEFT would: {@code peft_type} is {@code LORAXS}; beside the
 * fields all methods have, {@code r}, {@code lora_xs_alpha} (the change is scaled by α/r) and {@code lora_xs_dropout}. A and B
 * are stored: another machine's decomposition may differ in its last bits, and in the vectors of equal singular values.
 */
public record LoraXs(int ownRank, double alpha, double dropout) implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "LORAXS",
            "lora-xs",
            (config, metadata) -> of(config),
            MethodType.Training.at(4e-3).rank("r", 25).alpha("lora_xs_alpha", 1).dropout("lora_xs_dropout"));

    private static final String A = "lora_xs_A";
    private static final String B = "lora_xs_B";
    private static final String R = "lora_xs_R";

    private static LoraXs of(AdapterConfig config) {
        if (!config.bias().equals("none")) {
            throw config.document().wrong("bias", "\"none\": LoRA-XS trains no biases");
        }
        int rank = config.rank();
        return new LoraXs(
                rank,
                config.document().number("lora_xs_alpha", rank),
                config.document().number("lora_xs_dropout", 0));
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "LoRA-XS";
    }

    @Override
    public List<String> partNames() {
        return List.of(A, B, R);
    }

    @Override
    public Set<String> configFields() {
        return Set.of("lora_xs_alpha", "lora_xs_dropout");
    }

    @Override
    public int rank(Target target) {
        return ownRank;
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        return List.of(
                Part.frozen(A, Shape.of(ownRank, target.in()), new Initial.Singular(false, 0)),
                Part.frozen(B, Shape.of(target.out(), ownRank), new Initial.Singular(true, 1)),
                Part.trained(R, Shape.of(ownRank, ownRank), new Initial.Constant(0)));
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        return WeightChange.of(new LowRank<>(ops.matMul(part.apply(B), part.apply(R)), part.apply(A), alpha / ownRank));
    }

    @Override
    public Optional<Shape> layerShape(Function<String, @Nullable Tensor> part) {
        return AdapterMethod.productShape(part.apply(B), part.apply(A));
    }

    @Override
    public void describe(ObjectNode config) {
        config.put("r", ownRank);
        config.put("lora_xs_alpha", alpha);
        config.put("lora_xs_dropout", dropout);
    }
}
