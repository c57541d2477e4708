package dev.adapt.formats.method.gain;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.Shape;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * BEFT: {@code b' = b + v} for a trained v [1, out] of each adapted layer, which starts at 0; the weight stays. A layer
 * without a bias has {@code b = 0} while it is not merged.
 */
public record Beft() implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE =
            new MethodType("BEFT", "beft", (config, metadata) -> new Beft(), MethodType.Training.at(1e-2));

    private static final String BIAS = "beft_bias";

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public List<String> partNames() {
        return List.of(BIAS);
    }

    @Override
    public Set<String> configFields() {
        return Set.of("init_weights");
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

    @Override
    public Optional<String> undefined(Target target) {
        return target.embedding() ? Optional.of("is an embedding, which has no bias") : Optional.empty();
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        return List.of(Part.trained(BIAS, Shape.of(1, target.out()), new Initial.Constant(0)));
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        return WeightChange.of(new Delta.None<T>())
                .with(WeightChange.BiasChange.added(ops, ops.reshape(part.apply(BIAS), -1)));
    }

    @Override
    public void describe(ObjectNode config) {
        config.put("init_weights", true);
    }
}
