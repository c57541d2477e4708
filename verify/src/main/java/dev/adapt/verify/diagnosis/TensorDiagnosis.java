package dev.adapt.verify.diagnosis;

import dev.adapt.formats.model.AdaptedWeights;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.verify.Cause;
import dev.adapt.verify.Finding.TensorError;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * Compares one tensor with what it should be, and where it differs asks which mistake would have made it.
 *
 * @param adapted the base with its adapter, where there is one
 */
record TensorDiagnosis(Optional<AdaptedWeights> adapted) {
    /** Heads of tasks, whose rows stand for labels. */
    private static final List<String> HEADS =
            List.of("classifier", "score", "classifier.out_proj", "qa_outputs", "classification_head.out_proj");

    /** A mistake explains a tensor if it leaves this share of the difference at most. */
    private static final double LEFT = 0.02;

    /** Elements that differ, up to which they are counted and not named as a kind. */
    private static final int FEW = 16;

    /** What is wrong with a tensor; empty where it is right, within the rounding of its storage. */
    Optional<TensorVerdict> of(String name, FloatTensor found, FloatTensor expected, NamedWeights.Noise noise) {
        long bad = Values.notFinite(found);
        if (!found.shape().equals(expected.shape())) {
            return otherShape(name, found, expected, noise);
        }
        if (bad > 0 && Values.notFinite(expected) == 0) {
            return Optional.of(
                    verdict(Cause.NOT_FINITE, 1, bad + " values are NaN or infinite", name, found, expected));
        }
        double tolerance = noise.of(Values.largest(expected));
        if (Values.maxDistance(found, expected) <= tolerance) {
            return Optional.empty();
        }
        return Optional.of(ofAdapter(name, found, expected, tolerance)
                .or(() -> ofWhole(name, found, expected, tolerance, noise.absolute() > 0))
                .or(() -> ofRows(name, found, expected, tolerance, noise.absolute() > 0))
                .orElseGet(() -> verdict(Cause.VALUES, 1, few(found, expected, tolerance), name, found, expected)));
    }

    private static String few(FloatTensor found, FloatTensor expected, double tolerance) {
        int count = 0;
        for (int i = 0; i < found.values().length; i++) {
            count += Math.abs(found.values()[i] - expected.values()[i]) <= tolerance ? 0 : 1;
        }
        return count > FEW ? "" : count == 1 ? "one element differs" : count + " elements differ";
    }

    private TensorVerdict verdict(
            Cause cause, double factor, String detail, String name, FloatTensor found, FloatTensor expected) {
        boolean changed = adapted.filter(own -> own.changes(name)).isPresent();
        return new TensorVerdict(cause, factor, detail, changed, Values.error(name, found, expected));
    }

    /** Whether a guess leaves little of the difference, beyond what rounding leaves. */
    private static boolean explains(FloatTensor guess, FloatTensor found, FloatTensor expected, double tolerance) {
        if (!guess.shape().equals(found.shape())) {
            return false;
        }
        double difference = Values.distance(found, expected);
        double left = Values.distance(found, guess);
        double rounding = tolerance * Math.sqrt(found.values().length);
        return left <= LEFT * difference || (left <= rounding && left < difference / 4);
    }

    /** Mistakes of merging. */
    private Optional<TensorVerdict> ofAdapter(String name, FloatTensor found, FloatTensor expected, double tolerance) {
        if (adapted.filter(own -> own.changes(name)).isEmpty()) {
            return Optional.empty();
        }
        AdaptedWeights own = adapted.get();
        Optional<FloatTensor> base =
                own.before(name).filter(before -> before.shape().equals(found.shape()));
        if (base.isPresent() && explains(base.get(), found, expected, tolerance)) {
            return Optional.of(verdict(Cause.ADAPTER_NOT_MERGED, 0, "", name, found, expected));
        }
        if (own.twice(name)
                .filter(twice -> explains(twice, found, expected, tolerance))
                .isPresent()) {
            return Optional.of(verdict(Cause.MERGED_TWICE, 2, "", name, found, expected));
        }
        if (own.withoutGain(name)
                .filter(before -> explains(before, found, expected, tolerance))
                .isPresent()) {
            return Optional.of(verdict(Cause.MAGNITUDE_IGNORED, 1, "", name, found, expected));
        }
        return base.flatMap(before -> ofUpdate(name, found, expected, before, tolerance));
    }

    private Optional<TensorVerdict> ofUpdate(
            String name, FloatTensor found, FloatTensor expected, FloatTensor base, double tolerance) {
        double factor = Values.factor(found, expected, base);
        if (explains(Values.between(expected, base, factor), found, expected, tolerance)) {
            Cause cause = Math.abs(factor + 1) < LEFT ? Cause.SUBTRACTED : Cause.SCALE;
            return Optional.of(verdict(cause, factor, "", name, found, expected));
        }
        if (isSquare(base.shape())) {
            FloatTensor change = Values.between(expected, base, 1);
            float[] turned = Values.transposed(change).values().clone();
            float[] turnedBase = Values.transposed(base).values();
            for (int i = 0; i < turned.length; i++) {
                turned[i] = base.values()[i] + (turned[i] - turnedBase[i]);
            }
            if (explains(new FloatTensor(base.shape(), turned), found, expected, tolerance)) {
                return Optional.of(verdict(Cause.UPDATE_TRANSPOSED, 1, "", name, found, expected));
            }
        }
        // rows that point where base + update does, with other lengths: a gain of the rows that is wrong
        return adapted.flatMap(own -> own.withoutGain(name))
                .filter(before -> before.shape().equals(found.shape()) && !explains(before, expected, base, tolerance))
                .flatMap(before -> new RowMatch(found, before, tolerance).factors())
                .map(factors ->
                        verdict(Cause.MAGNITUDE_IGNORED, 1, "its rows have other lengths", name, found, expected));
    }

    private static boolean isSquare(Shape shape) {
        return shape.rank() == 2 && shape.dim(0) == shape.dim(1);
    }

    /** Mistakes that change a tensor as a whole. */
    private Optional<TensorVerdict> ofWhole(
            String name, FloatTensor found, FloatTensor expected, double tolerance, boolean quantized) {
        if (Values.isZero(found)) {
            Cause cause = name.endsWith(".bias") ? Cause.BIAS_LOST : Cause.ZEROED;
            return Optional.of(verdict(cause, 0, "", name, found, expected));
        }
        if (isSquare(expected.shape()) && explains(Values.transposed(expected), found, expected, tolerance)) {
            return Optional.of(verdict(Cause.TRANSPOSED, 1, "", name, found, expected));
        }
        FloatTensor zero = new FloatTensor(expected.shape(), new float[expected.values().length]);
        double factor = Values.factor(found, expected, zero);
        if (expected.values().length > 1
                && explains(Values.between(expected, zero, factor), found, expected, tolerance)) {
            return Optional.of(verdict(
                    quantized ? Cause.QUANTIZATION_SCALE : Cause.FACTOR,
                    factor,
                    String.format(Locale.ROOT, "all values are %.4g times what they should be", factor),
                    name,
                    found,
                    expected));
        }
        return Optional.empty();
    }

    /** Mistakes that move rows or change some. */
    private Optional<TensorVerdict> ofRows(
            String name, FloatTensor found, FloatTensor expected, double tolerance, boolean quantized) {
        RowMatch match = new RowMatch(found, expected, tolerance);
        List<Integer> differing = match.differing();
        if (differing.size() > 1) {
            Optional<Integer> shift = isOfLabels(name) ? Optional.empty() : match.shift();
            if (shift.isPresent()) {
                return Optional.of(verdict(
                        Cause.SHIFTED,
                        1,
                        "rows stand " + Math.abs(shift.get()) + (shift.get() > 0 ? " after" : " before")
                                + " their place, from row " + differing.getFirst() + " on",
                        name,
                        found,
                        expected));
            }
            Optional<int[]> order = match.permutation();
            if (order.isPresent()) {
                return Optional.of(verdict(
                        Cause.PERMUTED,
                        1,
                        "its rows are those that it should have in the order " + RowMatch.order(order.get()),
                        name,
                        found,
                        expected));
            }
        }
        if (expected.shape().rank() == 2) {
            Optional<TensorVerdict> columns = ofColumns(name, found, expected, tolerance, quantized);
            if (columns.isPresent()) {
                return columns;
            }
        }
        boolean some = expected.shape().rank() > 0 && differing.size() * 2L <= match.rows() && match.rows() > 1;
        boolean tail = differing.size() > 1
                && differing.getLast() == match.rows() - 1
                && differing.size() == match.rows() - differing.getFirst()
                && differing.size() < match.rows();
        if (some || tail) {
            String range = RowMatch.range(differing, match.rows());
            return Optional.of(verdict(
                    Cause.ROWS,
                    1,
                    range + " of " + match.rows() + " differ" + (differing.size() == 1 ? "s" : ""),
                    name,
                    found,
                    expected));
        }
        return Optional.empty();
    }

    /** Whether the rows of a tensor stand for labels, by its name. */
    static boolean isOfLabels(String name) {
        return HEADS.contains(name.replaceFirst("\\.(weight|bias)$", ""));
    }

    private Optional<TensorVerdict> ofColumns(
            String name, FloatTensor found, FloatTensor expected, double tolerance, boolean quantized) {
        FloatTensor turned = Values.transposed(found);
        FloatTensor should = Values.transposed(expected);
        RowMatch columns = new RowMatch(turned, should, tolerance);
        List<Integer> differing = columns.differing();
        Optional<int[]> order = differing.size() > 1 ? columns.permutation() : Optional.empty();
        if (order.isPresent()) {
            return Optional.of(verdict(
                    Cause.PERMUTED,
                    1,
                    "its columns are those that it should have in the order " + RowMatch.order(order.get()),
                    name,
                    found,
                    expected));
        }
        for (RowMatch match : List.of(new RowMatch(found, expected, tolerance), columns)) {
            Optional<double[]> factors = quantized ? match.factors() : Optional.empty();
            if (factors.isPresent()) {
                double worst = 1;
                for (double factor : factors.get()) {
                    worst = Math.abs(Math.log(Math.abs(factor))) > Math.abs(Math.log(Math.abs(worst))) ? factor : worst;
                }
                return Optional.of(verdict(
                        Cause.QUANTIZATION_SCALE,
                        worst,
                        String.format(Locale.ROOT, "the scales are up to %.4g times what they should be", worst),
                        name,
                        found,
                        expected));
            }
        }
        return Optional.empty();
    }

    private Optional<TensorVerdict> otherShape(
            String name, FloatTensor found, FloatTensor expected, NamedWeights.Noise noise) {
        Shape own = found.shape();
        Shape other = expected.shape();
        boolean matrices = own.rank() == 2 && other.rank() == 2;
        if (matrices && own.dim(0) == other.dim(1) && own.dim(1) == other.dim(0)) {
            FloatTensor turned = Values.transposed(found);
            if (Values.maxDistance(turned, expected) <= noise.of(Values.largest(expected))) {
                return Optional.of(
                        new TensorVerdict(Cause.TRANSPOSED, 1, "", false, Values.error(name, turned, expected)));
            }
        }
        boolean rows = matrices && own.dim(1) == other.dim(1);
        TensorError error = new TensorError(name, Double.POSITIVE_INFINITY, Double.POSITIVE_INFINITY, List.of(), 0, 0);
        return Optional.of(new TensorVerdict(
                rows ? Cause.VOCABULARY_SIZE : Cause.SHAPE,
                1,
                "it has the shape " + own + ", and should have " + other,
                adapted.filter(weights -> weights.changes(name)).isPresent(),
                error));
    }
}
