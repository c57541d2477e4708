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
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
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
 */
public record Peanut(int rank, int depth, double scale, Activation activation) implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "PEANUT",
            "peanut",
            (config, metadata) -> of(config),
            MethodType.Training.at(1e-3).rank("r", 8));

    private static final String A = "peanut_A.weight";
    private static final String B = "peanut_B.weight";

    /** More than anybody trains: each pair is a product of r by r matrices. */
    private static final int MOST_DEPTH = 64;

    /** The activations of transformers that are also ours. */
    private static final Map<String, Activation> ACTIVATIONS = activations();

    private static Map<String, Activation> activations() {
        Map<String, Activation> known = new LinkedHashMap<>();
        known.put("relu", Activation.RELU);
        known.put("gelu", Activation.GELU);
        known.put("gelu_new", Activation.GELU_TANH);
        known.put("gelu_pytorch_tanh", Activation.GELU_TANH);
        known.put("silu", Activation.SILU);
        known.put("swish", Activation.SILU);
        known.put("tanh", Activation.TANH);
        known.put("sigmoid", Activation.SIGMOID);
        return known;
    }

    private static Peanut of(AdapterConfig config) {
        String name = config.document().string("act_fn").orElse("relu");
        Activation activation = ACTIVATIONS.get(name);
        if (activation == null) {
            throw config.document().wrong("act_fn", "one of " + String.join(", ", ACTIVATIONS.keySet()));
        }
        return new Peanut(
                config.rank(),
                config.document().integer("depth", 0, 0, MOST_DEPTH),
                config.document().number("scaling", 1),
                activation);
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
        return Set.of("act_fn", "depth", "init_weights", "scaling");
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
        config.put(
                "act_fn",
                ACTIVATIONS.entrySet().stream()
                        .filter(known -> known.getValue() == activation)
                        .findFirst()
                        .orElseThrow()
                        .getKey());
        config.put("init_weights", true);
    }
}
