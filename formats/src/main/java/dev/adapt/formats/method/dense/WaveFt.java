package dev.adapt.formats.method.dense;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.ModuleNumbers;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.StoredParts;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * WaveFT: {@code ΔW = s·IDWT(C)}, the inverse wavelet transform of one level of a matrix C of n entries, at places that a
 * seed gives (Bilican et al., "Exploring Sparsity for Parameter Efficient Fine Tuning Using Wavelets", arXiv 2505.12532,
 * section 3). The entries are trained and start at 0, or normal without {@code init_weights}.
 *
 * @param frequencies n
 * @param seed of the places
 * @param family the wavelet's name
 * @param transformed {@code use_idwt}; otherwise C itself is added
 * @param proportional whether n is shared out to the layers by their sizes, so that only the stored tensors tell it
 * @param startsAtZero whether the entries start at 0
 */
public record WaveFt(
        ModuleNumbers frequencies,
        double scale,
        long seed,
        String family,
        boolean transformed,
        boolean proportional,
        boolean startsAtZero)
        implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE =
            new MethodType("WAVEFT", "waveft", (config, metadata) -> of(config), MethodType.Training.at(1e-2));

    private static final String SPECTRUM = "waveft_spectrum";
    private static final String FAMILY = "wavelet_family";
    private static final String PROPORTIONAL = "proportional_parameters";
    private static final int USUAL_COUNT = 2592;

    private static WaveFt of(AdapterConfig config) {
        String family = config.document().string(FAMILY).orElse("db1");
        if (Wavelet.named(family).isEmpty()) {
            throw config.document().wrong(FAMILY, "one of " + String.join(", ", Wavelet.names()));
        }
        return new WaveFt(
                SparsePlaces.checked(
                        ModuleNumbers.of(config, SparsePlaces.COUNT, USUAL_COUNT, SparsePlaces.PATTERN), config),
                config.document().number("scaling", 25),
                SparsePlaces.seed(config),
                family,
                config.document().flag("use_idwt", true),
                config.document().says(PROPORTIONAL),
                config.document().flag("init_weights", true));
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "WaveFT";
    }

    @Override
    public List<String> partNames() {
        return List.of(SPECTRUM);
    }

    @Override
    public Set<String> configFields() {
        return Set.of(
                SparsePlaces.COUNT,
                SparsePlaces.PATTERN,
                SparsePlaces.SEED,
                FAMILY,
                PROPORTIONAL,
                "init_weights",
                "scaling",
                "use_idwt");
    }

    @Override
    public boolean hasLowRankDelta() {
        return false;
    }

    @Override
    public Optional<String> untrainable() {
        return proportional
                ? Optional.of("adapt gives each layer as many entries as " + SparsePlaces.COUNT + " and "
                        + SparsePlaces.PATTERN + " say, and does not share them out by " + PROPORTIONAL)
                : Optional.empty();
    }

    @Override
    public AdapterMethod asStored(StoredParts stored) {
        if (!proportional) {
            return this;
        }
        // the longest name first, since a pattern matches the end of a longer name too
        Map<String, Double> counts = new LinkedHashMap<>();
        stored.modules().stream()
                .sorted(Comparator.comparingInt(String::length).reversed())
                .forEach(module -> {
                    Tensor spectrum = stored.of(module, SPECTRUM);
                    if (spectrum != null) {
                        counts.put(module, (double) spectrum.shape().elements());
                    }
                });
        return new WaveFt(frequencies.with(counts), scale, seed, family, transformed, false, startsAtZero);
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
        return SparsePlaces.parts(SPECTRUM, count(target), startsAtZero, 0.01);
    }

    /**
     * Values and their places in ΔW: each entry of C adds its value times a product of two filters.
     *
     * @param gains [n, k], what each entry is multiplied by
     * @param places [2, n·k]
     */
    private record Spread(FloatTensor gains, FloatTensor places) {}

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        Spread spread = spread(target);
        T gains = ops.constant(spread.gains());
        T places = ops.constant(spread.places());
        T column = ops.reshape(ops.affine(part.apply(SPECTRUM), scale, 0), -1, 1);
        T values = ops.reshape(ops.mul(column, gains), -1);
        return WeightChange.of(new Delta.Dense<>((tile, region) -> tile.scatter(values, places, region)));
    }

    private Spread spread(Target target) {
        SparsePlaces entries = SparsePlaces.of(count(target), target, seed);
        Axis rows = axis(target.out());
        Axis columns = axis(target.in());
        int taps = rows.taps();
        int each = taps * taps;
        int count = entries.rows().length;
        float[] gains = new float[Math.multiplyExact(count, each)];
        float[] places = new float[Math.multiplyExact(2, gains.length)];
        for (int i = 0; i < count; i++) {
            // the second half of C's columns is high-pass in the rows of ΔW, and the other way: PEFT's order of bands
            boolean right = columns.isSecond(entries.columns()[i]);
            boolean below = rows.isSecond(entries.rows()[i]);
            for (int k = 0; k < each; k++) {
                int at = i * each + k;
                gains[at] = (float) (rows.gain(k / taps, right) * columns.gain(k % taps, below));
                places[at] = rows.place(entries.rows()[i], k / taps);
                places[gains.length + at] = columns.place(entries.columns()[i], k % taps);
            }
        }
        return new Spread(
                new FloatTensor(Shape.of(count, each), gains), new FloatTensor(Shape.of(2, gains.length), places));
    }

    private Axis axis(int size) {
        if (!transformed) {
            return new Axis(new Wavelet(new double[] {1}, new double[] {1}), 0, 0, false);
        }
        Wavelet wavelet = Wavelet.named(family).orElseThrow();
        int padded = size + wavelet.low().length - 2;
        padded += padded % 2;
        return new Axis(wavelet, padded / 2, (padded - size) / 2, true);
    }

    /**
     * One axis of the transform.
     *
     * @param half the length of each band
     * @param offset what PEFT's padding adds to an entry's index
     */
    private record Axis(Wavelet wavelet, int half, int offset, boolean transformed) {
        int taps() {
            return wavelet.low().length;
        }

        boolean isSecond(int index) {
            return transformed && index + offset >= half;
        }

        double gain(int tap, boolean high) {
            return (high ? wavelet.high() : wavelet.low())[tap];
        }

        /** Where a tap of an entry falls; outside of the matrix for some at its ends. */
        int place(int index, int tap) {
            return transformed ? 2 * ((index + offset) % half) + tap - (taps() - 2) : index;
        }
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
        config.put("use_idwt", transformed);
        config.put(FAMILY, family);
        config.put(PROPORTIONAL, proportional);
    }
}
