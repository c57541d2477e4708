package dev.adapt.verify.compare;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.verify.runner.Precision;
import dev.adapt.verify.runner.Runner;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** The errors of one output of two runners, or of a group of outputs, over the batches so far. */
final class Tally {
    private final Runner left;
    private final Runner right;
    private final String group;

    private final Precision precision;
    private final int products;
    private final Tolerance tolerance;

    private Optional<String> obstacle = Optional.empty();
    private Optional<Place> worst = Optional.empty();
    private long elements;
    private long rows;
    private long agreeing;
    private double maxAbsolute;
    private double maxError = -1;
    private double sumAbsolute;
    private double maxRelative;
    private double sumRelative;
    private double sumSquaredDistances;
    private double sumSquares;
    private double leastCosine = 1;
    private double maxDivergence;
    private double sumTop;
    private Optional<Place> parting = Optional.empty();

    /** @param products linear layers between an input and the output, one after the other */
    Tally(Runner left, Runner right, String group, int products, Tolerance tolerance) {
        this.left = left;
        this.right = right;
        this.group = group;
        this.precision = left.precisionBeside(right);
        this.products = products;
        this.tolerance = tolerance;
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
        RowMeasures row = new RowMeasures(a, b, from, to);
        int farthest = from;
        for (int i = from; i < to; i++) {
            double absolute = Math.abs(a[i] - b[i]);
            // rms is 0 only where the whole row is
            double relative = rms == 0 ? 0 : absolute / rms;
            farthest = absolute > Math.abs(a[farthest] - b[farthest]) ? i : farthest;
            maxAbsolute = Math.max(maxAbsolute, absolute);
            sumAbsolute += absolute;
            maxRelative = Math.max(maxRelative, relative);
            sumRelative += relative;
        }
        double distance = row.distance();
        double error = tolerance.error(precision, Math.abs(a[farthest] - b[farthest]), rms, distance);
        sumSquaredDistances += distance * distance;
        sumSquares += rms * rms;
        if (error > maxError) {
            maxError = error;
            worst = Optional.of(new Place(batch, output, index(one.shape(), farthest), a[farthest], b[farthest]));
        }
        leastCosine = Math.min(leastCosine, row.cosine());
        if (isLogits()) {
            maxDivergence = Math.max(maxDivergence, row.divergence());
            sumTop += row.top();
            if (argmaxA != argmaxB && parting.isEmpty()) {
                parting = Optional.of(new Place(batch, output, index(one.shape(), argmaxA), a[argmaxA], b[argmaxA]));
            }
        }
        elements += to - from;
        rows++;
        agreeing += argmaxA == argmaxB ? 1 : 0;
    }

    private boolean isLogits() {
        return group.equals("logits");
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

    Comparison comparison() {
        if (obstacle.isPresent()) {
            return without(obstacle.get());
        }
        if (elements == 0) {
            return without("there was nothing to compare");
        }
        double limit = tolerance.limit(precision, products);
        Errors errors = new Errors(
                maxAbsolute,
                sumAbsolute / elements,
                maxRelative,
                sumRelative / elements,
                (double) agreeing / rows,
                new Errors.Likeness(
                        leastCosine,
                        isLogits() ? Optional.of(maxDivergence) : Optional.empty(),
                        isLogits() ? Optional.of(sumTop / rows) : Optional.empty(),
                        parting));
        // integers err in all rows: one row of random tokens says little, all of them together say much
        double error = precision == Precision.INT8
                ? sumSquares == 0 ? 0 : Math.sqrt(sumSquaredDistances / sumSquares)
                : maxError;
        Optional<String> failure =
                error <= limit ? Optional.empty() : Optional.of(tolerance.exceeded(precision, error, limit));
        return new Comparison(
                left.name(),
                right.name(),
                group,
                Optional.of(new Comparison.Limit(precision, limit)),
                Optional.of(errors),
                worst,
                failure);
    }

    private Comparison without(String failure) {
        return new Comparison(
                left.name(),
                right.name(),
                group,
                Optional.empty(),
                Optional.empty(),
                Optional.empty(),
                Optional.of(failure));
    }
}
