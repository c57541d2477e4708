package dev.adapt.formats.method.dense;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.Frequencies;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.ModuleNumbers;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * FourierFT: {@code ΔW = s·Re(F⁻¹(C))} for a spectrum C [out, in] of n entries, at places that a seed gives (Gao et al.,
 * "Parameter-Efficient Fine-Tuning with Discrete Fourier Transform", arXiv 2405.03003, equations 3 and 4). The entries are
 * trained; they start normal, or at 0 with {@code init_weights}.
 *
 * @param frequencies n
 * @param seed of the places
 * @param startsAtZero whether the entries start at 0
 */
public record FourierFt(ModuleNumbers frequencies, double scale, long seed, boolean startsAtZero)
        implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE =
            new MethodType("FOURIERFT", "fourierft", (config, metadata) -> of(config), MethodType.Training.at(1e-2));

    private static final Delta.Scope TOGETHER = new Delta.Scope(32, false);

    private static final String SPECTRUM = "fourierft_spectrum";

    private static FourierFt of(AdapterConfig config) {
        return new FourierFt(
                SparsePlaces.checked(
                        ModuleNumbers.afterDot(
                                config, SparsePlaces.COUNT, SparsePlaces.USUAL_COUNT, SparsePlaces.PATTERN),
                        config),
                config.document().number("scaling", 150),
                SparsePlaces.seed(config),
                config.document().flag("init_weights", false));
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "FourierFT";
    }

    @Override
    public List<String> partNames() {
        return List.of(SPECTRUM);
    }

    @Override
    public Set<String> configFields() {
        return Set.of(SparsePlaces.COUNT, SparsePlaces.PATTERN, SparsePlaces.SEED, "init_weights", "scaling");
    }

    @Override
    public boolean hasLowRankDelta() {
        return false;
    }

    /** Rows of which pairs fill the widest vectors; each row can be computed alone. */
    @Override
    public Delta.Scope scope() {
        return TOGETHER;
    }

    private int count(Target target) {
        return (int) frequencies.of(target.module());
    }

    @Override
    public Optional<String> undefined(Target target) {
        return target.unlessLinear(title()).or(() -> SparsePlaces.undefined(count(target), target));
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        return SparsePlaces.parts(SPECTRUM, count(target), startsAtZero, 1);
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        SparsePlaces places = SparsePlaces.of(count(target), target, seed);
        Frequencies at = new Frequencies(places.rows(), places.columns(), target.out(), target.in());
        T scaled = ops.affine(part.apply(SPECTRUM), scale, 0);
        return WeightChange.of(new Delta.Dense<>(scope(), (tile, region) -> tile.inverseFourier(scaled, at, region)));
    }

    @Override
    public boolean isSmallest() {
        return true;
    }

    @Override
    public void describe(ObjectNode config) {
        SparsePlaces.describe(config, frequencies, seed);
        ModuleNumbers.put(config, "scaling", scale);
        config.put("init_weights", startsAtZero);
    }
}
