package dev.adapt.verify;

import dev.adapt.formats.onnx.OnnxPrecision;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** Runs several forms of a model on the same inputs and compares each with each. */
public final class Equivalence {
    private Equivalence() {}

    /**
     * Compares all pairs of runners. Two are equal if all their outputs have the same shapes and only finite values, and
     * no element differs by more than the tolerance.
     *
     * @param batches inputs by name, one map for each run
     */
    public static List<Comparison> compare(
            List<Runner> runners, List<Map<String, Tensor>> batches, Tolerance tolerance) {
        List<List<DoubleTensor>> outputs = new ArrayList<>();
        for (Runner runner : runners) {
            outputs.add(batches.stream().map(runner.run()).toList());
        }
        List<Comparison> comparisons = new ArrayList<>();
        for (int left = 0; left < runners.size(); left++) {
            for (int right = left + 1; right < runners.size(); right++) {
                comparisons.add(compare(
                        runners.get(left), outputs.get(left), runners.get(right), outputs.get(right), tolerance));
            }
        }
        return comparisons;
    }

    private static Comparison compare(
            Runner one, List<DoubleTensor> a, Runner other, List<DoubleTensor> b, Tolerance tolerance) {
        String left = one.name();
        String right = other.name();
        Sums sums = new Sums();
        for (int batch = 0; batch < a.size(); batch++) {
            Optional<String> obstacle = obstacle(left, a.get(batch), right, b.get(batch));
            if (obstacle.isPresent()) {
                String failure = "batch " + (batch + 1) + ": " + obstacle.get();
                return new Comparison(left, right, Optional.empty(), Optional.of(failure));
            }
            sums.add(a.get(batch), b.get(batch));
        }
        if (sums.elements == 0) {
            return new Comparison(left, right, Optional.empty(), Optional.of("there was nothing to compare"));
        }
        boolean half = one.precision() == OnnxPrecision.FP16 || other.precision() == OnnxPrecision.FP16;
        double worst = half ? sums.maxScaled : sums.maxAbsolute;
        double most = half ? tolerance.fp16() : tolerance.fp32();
        Optional<String> failure = worst <= most
                ? Optional.empty()
                : Optional.of(String.format(
                        Locale.ROOT,
                        half
                                ? "the largest error is %.2e of the row's root mean square (or of 1), more than the tolerance"
                                        + " %.2e for float16"
                                : "the largest absolute error is %.2e, more than the tolerance %.2e",
                        worst,
                        most));
        return new Comparison(left, right, Optional.of(sums.errors()), failure);
    }

    /** Why two outputs cannot be subtracted from each other. */
    private static Optional<String> obstacle(String left, DoubleTensor a, String right, DoubleTensor b) {
        if (!a.shape().equals(b.shape())) {
            return Optional.of("the shapes are " + a.shape() + " and " + b.shape());
        }
        return notFinite(left, a).or(() -> notFinite(right, b));
    }

    private static Optional<String> notFinite(String name, DoubleTensor output) {
        long bad = Arrays.stream(output.values())
                .filter(value -> !Double.isFinite(value))
                .count();
        return bad == 0
                ? Optional.empty()
                : Optional.of(bad + " of " + output.values().length + " values of " + name + " are NaN or infinite");
    }

    /** Sums and maxima over all rows so far. */
    private static final class Sums {
        private long elements;
        private long rows;
        private long agreeing;
        private double maxAbsolute;
        private double maxScaled;
        private double sumAbsolute;
        private double maxRelative;
        private double sumRelative;

        void add(DoubleTensor a, DoubleTensor b) {
            int rank = a.shape().rank();
            int width = rank == 0 ? 1 : (int) a.shape().dim(rank - 1);
            for (int from = 0; from < a.values().length; from += width) {
                addRow(a.values(), b.values(), from, from + width);
            }
        }

        private void addRow(double[] a, double[] b, int from, int to) {
            double squares = 0;
            int argmaxA = from;
            int argmaxB = from;
            for (int i = from; i < to; i++) {
                squares += a[i] * a[i] + b[i] * b[i];
                argmaxA = a[i] > a[argmaxA] ? i : argmaxA;
                argmaxB = b[i] > b[argmaxB] ? i : argmaxB;
            }
            double rms = Math.sqrt(squares / (2.0 * (to - from)));
            for (int i = from; i < to; i++) {
                double absolute = Math.abs(a[i] - b[i]);
                // rms is 0 only where the whole row is
                double relative = rms == 0 ? 0 : absolute / rms;
                maxAbsolute = Math.max(maxAbsolute, absolute);
                maxScaled = Math.max(maxScaled, absolute / Math.max(rms, 1));
                sumAbsolute += absolute;
                maxRelative = Math.max(maxRelative, relative);
                sumRelative += relative;
            }
            elements += to - from;
            rows++;
            agreeing += argmaxA == argmaxB ? 1 : 0;
        }

        Errors errors() {
            return new Errors(
                    maxAbsolute, sumAbsolute / elements, maxRelative, sumRelative / elements, (double) agreeing / rows);
        }
    }
}
