package dev.adapt.verify.diagnosis;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.verify.Cause;
import java.util.Arrays;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.UnaryOperator;

/** What a form gives that has the right numbers in another order, scale or form, or under another name. */
final class OutputMistakes {
    private static final int WIDEST = 1 << 17;

    private OutputMistakes() {}

    /** What was done to an output, and in words. */
    record Mistake(Cause cause, String sentence) {}

    /**
     * Compares one output with what it should be.
     *
     * @param all the expected outputs by name
     * @param tolerance of elements that are equal
     */
    static Optional<Mistake> of(
            String name, DoubleTensor found, Map<String, DoubleTensor> all, boolean labels, double tolerance) {
        DoubleTensor expected = all.get(name);
        if (expected == null) {
            return Optional.empty();
        }
        for (Map.Entry<String, DoubleTensor> other : all.entrySet()) {
            if (!other.getKey().equals(name) && near(found, other.getValue(), tolerance)) {
                return Optional.of(
                        new Mistake(Cause.OUTPUT_FORM, name + " holds what " + other.getKey() + " should hold"));
            }
        }
        if (!found.shape().equals(expected.shape()) || expected.shape().rank() == 0) {
            return Optional.empty();
        }
        int width = (int) expected.shape().dim(expected.shape().rank() - 1);
        if (near(found, rows(expected, width, OutputMistakes::softmax), tolerance)) {
            return Optional.of(new Mistake(Cause.OUTPUT_FORM, name + " holds probabilities, and should hold logits"));
        }
        if (near(found, rows(expected, width, OutputMistakes::logSoftmax), tolerance)) {
            return Optional.of(new Mistake(
                    Cause.OUTPUT_FORM, name + " holds logarithms of probabilities, and should hold logits"));
        }
        if (near(found, rows(expected, width, OutputMistakes::normalized), tolerance)) {
            return Optional.of(new Mistake(Cause.OUTPUT_FORM, name + " is normalised to length 1, and should not be"));
        }
        return columns(name, found, expected, width, labels, tolerance)
                .or(() -> factor(name, found, expected, tolerance));
    }

    private static boolean near(DoubleTensor a, DoubleTensor b, double tolerance) {
        if (!a.shape().equals(b.shape())) {
            return false;
        }
        for (int i = 0; i < a.values().length; i++) {
            double limit = tolerance * Math.max(1, Math.abs(b.values()[i]));
            if (!(Math.abs(a.values()[i] - b.values()[i]) <= limit)) {
                return false;
            }
        }
        return true;
    }

    private static DoubleTensor rows(DoubleTensor tensor, int width, UnaryOperator<double[]> change) {
        double[] values = tensor.values().clone();
        for (int from = 0; width > 0 && from < values.length; from += width) {
            System.arraycopy(change.apply(Arrays.copyOfRange(values, from, from + width)), 0, values, from, width);
        }
        return new DoubleTensor(tensor.shape(), values);
    }

    private static double[] softmax(double[] row) {
        return Arrays.stream(logSoftmax(row)).map(Math::exp).toArray();
    }

    private static double[] logSoftmax(double[] row) {
        double most = Arrays.stream(row).max().orElse(0);
        double log =
                most + Math.log(Arrays.stream(row).map(x -> Math.exp(x - most)).sum());
        return Arrays.stream(row).map(x -> x - log).toArray();
    }

    private static double[] normalized(double[] row) {
        double length = Math.sqrt(Arrays.stream(row).map(x -> x * x).sum());
        return length == 0 ? row : Arrays.stream(row).map(x -> x / length).toArray();
    }

    /** The columns (last axis) in another order. */
    private static Optional<Mistake> columns(
            String name, DoubleTensor found, DoubleTensor expected, int width, boolean labels, double tolerance) {
        int rows = width == 0 ? 0 : expected.values().length / width;
        if (width < 2 || width > WIDEST || rows == 0) {
            return Optional.empty();
        }
        RowMatch match = new RowMatch(turned(found, rows, width), turned(expected, rows, width), tolerance);
        if (match.differing().size() < 2) {
            return Optional.empty();
        }
        Optional<Integer> shift = labels ? Optional.empty() : match.shift();
        if (shift.isPresent()) {
            return Optional.of(new Mistake(
                    Cause.SHIFTED,
                    "vocabulary off by one: columns of " + name + " stand " + Math.abs(shift.get())
                            + (shift.get() > 0 ? " after" : " before") + " their place"));
        }
        return match.permutation()
                .map(order -> new Mistake(
                        labels ? Cause.LABEL_ORDER : Cause.PERMUTED,
                        (labels ? "a head of another label order: " : "") + name
                                + " has the columns that it should have in the order " + RowMatch.order(order)));
    }

    private static FloatTensor turned(DoubleTensor tensor, int rows, int width) {
        float[] values = new float[rows * width];
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < width; column++) {
                values[column * rows + row] = (float) tensor.values()[row * width + column];
            }
        }
        return new FloatTensor(Shape.of(width, rows), values);
    }

    private static Optional<Mistake> factor(String name, DoubleTensor found, DoubleTensor expected, double tolerance) {
        double product = 0;
        double squares = 0;
        for (int i = 0; i < found.values().length; i++) {
            product += found.values()[i] * expected.values()[i];
            squares += expected.values()[i] * expected.values()[i];
        }
        double factor = squares == 0 ? 1 : product / squares;
        double[] scaled = Arrays.stream(expected.values()).map(x -> factor * x).toArray();
        return Math.abs(factor) > tolerance && near(found, new DoubleTensor(expected.shape(), scaled), tolerance)
                ? Optional.of(new Mistake(
                        Cause.OUTPUT_FORM,
                        String.format(Locale.ROOT, "%s is %.4g times what it should be", name, factor)))
                : Optional.empty();
    }
}
