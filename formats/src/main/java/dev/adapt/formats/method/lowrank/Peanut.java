package dev.adapt.formats.method.lowrank;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Activation;
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
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * PEANuT: {@code ΔW = s·B·h} for {@code h = f(A·W)} [r, in], a small network that reads the weight (Zhong et al., "PEANuT:
 * Parameter-Efficient Adaptation with Weight-aware Neural Tweakers", arXiv 2410.01870, equation 5). Between A [r, out] and B
 * [out, r] there are {@code depth} encoders {@code h ← f(E·h)} and as many decoders {@code h ← f(D·h) + h′}, where h′ went
 * into the encoder of the same place from the inside. B starts at 0, the others Kaiming-uniform.
 *
 * @param function what config.json files call the activation
 */
public record Peanut(int rank, int depth, double scale, String function, Activation activation)
        implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "PEANUT",
            "peanut",
            (config, metadata) -> of(config),
            MethodType.Training.at(1e-3).rank("r", 8));

    private static final String A = "peanut_A.weight";
    private static final String B = "peanut_B.weight";
    private static final String FUNCTION = "act_fn";
    private static final String USUAL_FUNCTION = "relu";

    /** More than anybody trains: each pair is a product of r by r matrices. */
    private static final int MOST_DEPTH = 64;

    private static Peanut of(AdapterConfig config) {
        return new Peanut(
                config.rank(32),
                config.document().integer("depth", 0, 0, MOST_DEPTH),
                config.document().number("scaling", 1),
                config.document().string(FUNCTION).orElse(USUAL_FUNCTION),
                Activation.of(config.document(), FUNCTION, USUAL_FUNCTION));
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "PEANuT";
    }

    private static String encoder(int index) {
        return "peanut_encoders." + index + ".weight";
    }

    private static String decoder(int index) {
        return "peanut_decoders." + index + ".weight";
    }

    @Override
    public List<String> partNames() {
        return Stream.concat(
                        Stream.of(A, B),
                        IntStream.range(0, depth).boxed().flatMap(i -> Stream.of(encoder(i), decoder(i))))
                .toList();
    }

    @Override
    public Set<String> configFields() {
        return Set.of(FUNCTION, "depth", "init_weights", "scaling");
    }

    @Override
    public int rank(Target target) {
        return rank;
    }

    @Override
    public Optional<String> undefined(Target target) {
        return target.unlessLinear(title());
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        List<Part> parts = new ArrayList<>();
        parts.add(Part.trained(A, Shape.of(rank, target.out()), new Initial.KaimingUniform(target.out())));
        for (int i = 0; i < depth; i++) {
            parts.add(Part.trained(encoder(i), Shape.of(rank, rank), new Initial.KaimingUniform(rank)));
            parts.add(Part.trained(decoder(i), Shape.of(rank, rank), new Initial.KaimingUniform(rank)));
        }
        parts.add(Part.trained(B, Shape.of(target.out(), rank), new Initial.Constant(0)));
        return parts;
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        T hidden = ops.activation(ops.matMul(part.apply(A), weight.get()), activation);
        List<T> before = new ArrayList<>();
        for (int i = 0; i < depth; i++) {
            before.add(hidden);
            hidden = ops.activation(ops.matMul(part.apply(encoder(i)), hidden), activation);
        }
        for (int i = 0; i < depth; i++) {
            T decoded = ops.activation(ops.matMul(part.apply(decoder(i)), hidden), activation);
            hidden = ops.add(decoded, before.removeLast());
        }
        return WeightChange.of(new LowRank<>(part.apply(B), hidden, scale));
    }

    @Override
    public void describe(ObjectNode config) {
        config.put("r", rank);
        config.put("depth", depth);
        ModuleNumbers.put(config, "scaling", scale);
        config.put(FUNCTION, function);
        config.put("init_weights", true);
    }
}
