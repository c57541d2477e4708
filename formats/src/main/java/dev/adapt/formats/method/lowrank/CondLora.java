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
import java.util.List;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * CondLoRA: LoRA whose factors are linear in the frozen weight, {@code A = (W₀ᵀ·θ_A)ᵀ} and {@code B = W₀·θ_B} (Kim, Sakai
 * and Kokubo, "A Single Linear Layer Yields Task-Adapted Low-Rank Matrices", LREC-COLING 2024, equations 3 and 4), and
 * {@code ΔW = α/r·B·A}. All layers of a {@link Target#stack() stack} share θ_A [out, r] and θ_B [in, r], so that an adapter's
 * size does not grow with its base's depth. θ_A starts Kaiming-uniform, θ_B at 0.
 *
 * <p>PEFT has no such method. An adapter folder is laid out as PEFT would: {@code peft_type} is {@code CONDLORA}; beside the
 * fields all methods have, {@code r}, {@code condlora_alpha}, {@code condlora_dropout} and {@code init_weights}; and the
 * keys are {@code base_model.model.STACK.condlora_theta_A} and {@code …_B}, STACK being the module's name with a {@code *} in
 * the place of the layer's number. The layers adapted are those of the stack that {@code target_modules} and
 * {@code layers_to_transform} name. The authors' code reads W₀ where the paper has W₀ᵀ, which only square weights allow; this
 * follows the paper.
 */
public record CondLora(int rank, double alpha, double dropout) implements AdapterMethod {

    private static final String THETA_A = "condlora_theta_A";
    private static final String THETA_B = "condlora_theta_B";
    private static final String ALPHA = "condlora_alpha";
    private static final String DROPOUT = "condlora_dropout";

    /** This method in the list of methods. Its usual alpha is large because its shared pair needs small steps. */
    public static final MethodType TYPE = new MethodType(
            "CONDLORA",
            "condlora",
            (config, metadata) -> of(config),
            MethodType.Training.at(4e-4).rank("r", 8).alpha(ALPHA, 8).dropout(DROPOUT));

    private static final Set<String> FIELDS = Set.of(ALPHA, DROPOUT, "init_weights");

    private static CondLora of(AdapterConfig config) {
        int rank = config.rank();
        if (!config.bias().equals("none")) {
            throw config.document().wrong("bias", "\"none\": CondLoRA trains no biases");
        }
        return new CondLora(
                rank, config.document().number(ALPHA, rank), config.document().number(DROPOUT, 0));
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "CondLoRA";
    }

    @Override
    public List<String> partNames() {
        return List.of(THETA_A, THETA_B);
    }

    @Override
    public Set<String> configFields() {
        return FIELDS;
    }

    @Override
    public int rank(Target target) {
        return rank;
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        return List.of(
                Part.ofStack(THETA_A, Shape.of(target.out(), rank), new Initial.KaimingUniform(target.out())),
                Part.ofStack(THETA_B, Shape.of(target.in(), rank), new Initial.Constant(0)));
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        T frozen = weight.get();
        return WeightChange.of(new LowRank<>(
                ops.matMul(frozen, part.apply(THETA_B)),
                ops.matMul(ops.transpose(part.apply(THETA_A), 1, 0), frozen),
                alpha / rank));
    }

    @Override
    public void describe(ObjectNode config) {
        config.put("r", rank);
        config.put(ALPHA, alpha);
        config.put(DROPOUT, dropout);
        config.put("init_weights", true);
    }
}
