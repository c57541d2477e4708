package dev.adapt.formats.method.gain;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * LN tuning: normalisation layers, trained and stored whole (Zhao et al., "Tuning LayerNorm in Attention", arXiv
 * 2312.11420). The tensors take the place of the base's; no matrix changes.
 */
public record LnTuning() implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "LN_TUNING", "ln_tuning", (config, metadata) -> new LnTuning(), MethodType.Training.at(1e-3));

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "LN tuning";
    }

    @Override
    public Optional<String> wholeModules() {
        return Optional.of("ln_tuning_layers");
    }

    @Override
    public Optional<String> untrainable() {
        return Optional.of("it trains normalisation layers, and adapt trains changes of matrices; train it with PEFT");
    }

    @Override
    public List<String> partNames() {
        return List.of();
    }

    @Override
    public Set<String> configFields() {
        return Set.of();
    }

    @Override
    public boolean isAdditive() {
        return false;
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        return List.of();
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        return WeightChange.of(new Delta.None<>());
    }

    @Override
    public Optional<String> misfit(Target target) {
        return Optional.of("is a matrix, and LN tuning replaces normalisation layers");
    }

    @Override
    public void describe(ObjectNode config) {}
}
