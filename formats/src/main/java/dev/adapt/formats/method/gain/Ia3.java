package dev.adapt.formats.method.gain;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.OutGain;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.ModuleMatcher;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * (IA)³: {@code W' = diag(l)·W}, bias included, or on the modules of {@code feedforward_modules} {@code W' = W·diag(l)}; l
 * is trained and starts at 1 (Liu et al., arXiv 2205.05638, section 3.3).
 *
 * @param feedforward the modules whose inputs are scaled, not their outputs
 */
public record Ia3(ModuleMatcher feedforward) implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE =
            new MethodType("IA3", "ia3", (config, metadata) -> of(config), MethodType.Training.at(1e-2));

    private static final String VECTOR = "ia3_l";
    private static final String FEEDFORWARD = "feedforward_modules";

    private static Ia3 of(AdapterConfig config) {
        return new Ia3(ModuleMatcher.of(config, FEEDFORWARD));
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "(IA)³";
    }

    @Override
    public List<String> partNames() {
        return List.of(VECTOR);
    }

    @Override
    public Set<String> configFields() {
        return Set.of(FEEDFORWARD, "init_ia3_weights");
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
    public boolean changesBias() {
        return true;
    }

    private boolean scalesInputs(Target target) {
        // unlike target_modules, an entry of the list may begin within a part of the name
        return feedforward.matchesEnd(target.module());
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        boolean inputs = scalesInputs(target);
        if (target.storage() instanceof Storage.Kernel kernel) {
            long[] dims = new long[kernel.shape().rank()];
            Arrays.fill(dims, 1);
            dims[1] = inputs ? target.in() / kernel.size() : target.out();
            return List.of(Part.trained(VECTOR, Shape.of(dims), new Initial.Constant(1)));
        }
        Shape shape = inputs ? Shape.of(1, target.in()) : Shape.of(target.out(), 1);
        return List.of(Part.trained(VECTOR, shape, new Initial.Constant(1)));
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        T gain = ops.reshape(part.apply(VECTOR), -1);
        if (scalesInputs(target)) {
            T in = target.storage() instanceof Storage.Kernel kernel ? repeated(ops, gain, kernel.size()) : gain;
            return new WeightChange<>(Optional.of(in), new Delta.None<>(), new OutGain.None<>(), Optional.empty());
        }
        return WeightChange.of(new Delta.None<T>())
                .with(new OutGain.Vector<>(gain))
                .with(WeightChange.BiasChange.scaled(ops, gain));
    }

    /** Each element {@code times} times. */
    private static <T> T repeated(MatrixOps<T> ops, T vector, int times) {
        float[] ones = new float[times];
        Arrays.fill(ones, 1);
        T row = ops.constant(new FloatTensor(Shape.of(1, times), ones));
        return ops.reshape(ops.mul(ops.reshape(vector, -1, 1), row), -1);
    }

    @Override
    public void describe(ObjectNode config) {
        feedforward.describe(config, FEEDFORWARD);
        config.put("init_ia3_weights", true);
    }
}
