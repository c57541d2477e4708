package dev.adapt.verify;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** The errors of one output of two runners, or of a group of outputs, over the batches so far. */
final class Tally {
    private final Runner left;
    private final Runner right;
    private final String group;

    /** Whether errors are measured over the row's root mean square, as float16 asks for. */
    private final boolean scaled;

    private Optional<String> obstacle = Optional.empty();
    private Optional<Place> worst = Optional.empty();
    private long elements;
    private long rows;
    private long agreeing;
    private double maxAbsolute;
    private double maxScaled;
    private double sumAbsolute;
    private double maxRelative;
    private double sumRelative;

    Tally(Runner left, Runner right, String group, boolean scaled) {
        this.left = left;
        this.right = right;
        this.group = group;
        this.scaled = scaled;
    }

    /**
     * Adds an output of both runners on one batch. Once two outputs could not be subtracted, nothing more is added.
     *
     * @param mask integers [batch, sequence]: what a model gives for padding means nothing, and is left out
     */
    void add(int batch, String output, DoubleTensor a, DoubleTensor b, Optional<LongTensor> mask) {
        if (obstacle.isPresent()) {
            return;
        }
        if (!a.shape().equals(b.shape())) {
            obstacle = Optional.of("batch " + batch + ": the shapes are " + a.shape() + " and " + b.shape());
            return;
        }
        Rows kept = Rows.of(a.shape(), mask);
        obstacle = notFinite(left.name(), a, kept)
                .or(() -> notFinite(right.name(), b, kept))
                .map(reason -> "batch " + batch + ": " + reason);
        if (obstacle.isPresent()) {
            return;
        }
        for (int row = 0; row < kept.count(); row++) {
            if (kept.isKept(row)) {
                addRow(batch, output, a, b, row * kept.width(), (row + 1) * kept.width());
            }
        }
    }

    private static Optional<String> notFinite(String name, DoubleTensor output, Rows rows) {
        long bad = 0;
        for (int row = 0; row < rows.count(); row++) {
            if (!rows.isKept(row)) {
                continue;
            }
            for (int i = row * rows.width(); i < (row + 1) * rows.width(); i++) {
                bad += Double.isFinite(output.values()[i]) ? 0 : 1;
            }
        }
        return bad == 0
                ? Optional.empty()
                : Optional.of(bad + " of " + output.values().length + " values of " + name + " are NaN or infinite");
    }

    private void addRow(int batch, String output, DoubleTensor one, DoubleTensor other, int from, int to) {
        double[] a = one.values();
        double[] b = other.values();
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
            double perRow = absolute / Math.max(rms, 1);
            if (scaled ? perRow > maxScaled : absolute > maxAbsolute) {
                worst = Optional.of(new Place(batch, output, index(one.shape(), i), a[i], b[i]));
            }
            maxAbsolute = Math.max(maxAbsolute, absolute);
            maxScaled = Math.max(maxScaled, perRow);
            sumAbsolute += absolute;
            maxRelative = Math.max(maxRelative, relative);
            sumRelative += relative;
        }
        elements += to - from;
        rows++;
        agreeing += argmaxA == argmaxB ? 1 : 0;
    }

    private static List<Long> index(Shape shape, long flat) {
        List<Long> index = new ArrayList<>();
        long rest = flat;
        for (int axis = shape.rank() - 1; axis >= 0; axis--) {
            index.addFirst(rest % shape.dim(axis));
            rest /= shape.dim(axis);
        }
        return index;
    }

    Comparison comparison(Tolerance tolerance) {
        if (obstacle.isPresent()) {
            return without(obstacle.get());
        }
        if (elements == 0) {
            return without("there was nothing to compare");
        }
        double error = scaled ? maxScaled : maxAbsolute;
        double most = scaled ? tolerance.fp16() : tolerance.fp32();
        Errors errors = new Errors(
                maxAbsolute, sumAbsolute / elements, maxRelative, sumRelative / elements, (double) agreeing / rows);
        Optional<String> failure = error <= most
                ? Optional.empty()
                : Optional.of(String.format(
                        Locale.ROOT,
                        scaled
                                ? "the largest error is %.2e of the row's root mean square (or of 1), more than"
                                        + " the tolerance %.2e for float16"
                                : "the largest absolute error is %.2e, more than the tolerance %.2e",
                        error,
                        most));
        return new Comparison(left.name(), right.name(), group, Optional.of(errors), worst, failure);
    }

    private Comparison without(String failure) {
        return new Comparison(
                left.name(), right.name(), group, Optional.empty(), Optional.empty(), Optional.of(failure));
    }
}
