package dev.adapt.verify.diagnosis;

import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.verify.Finding.TensorError;
import java.util.ArrayList;
import java.util.List;

/** Comparisons of two tensors of as many elements. */
final class Values {
    private Values() {}

    static double largest(FloatTensor tensor) {
        double largest = 0;
        for (float value : tensor.values()) {
            largest = Float.isFinite(value) ? Math.max(largest, Math.abs(value)) : largest;
        }
        return largest;
    }

    static double length(FloatTensor tensor) {
        double squares = 0;
        for (float value : tensor.values()) {
            squares += (double) value * value;
        }
        return Math.sqrt(squares);
    }

    /** The length of a − b. */
    static double distance(FloatTensor a, FloatTensor b) {
        double squares = 0;
        for (int i = 0; i < a.values().length; i++) {
            double difference = (double) a.values()[i] - b.values()[i];
            squares += difference * difference;
        }
        return Math.sqrt(squares);
    }

    /** The largest |a − b|; infinite where one is no number and the other is. */
    static double maxDistance(FloatTensor a, FloatTensor b) {
        double largest = 0;
        for (int i = 0; i < a.values().length; i++) {
            double difference = Math.abs((double) a.values()[i] - b.values()[i]);
            largest = Double.isNaN(difference) ? Double.POSITIVE_INFINITY : Math.max(largest, difference);
        }
        return largest;
    }

    /** A matrix [rows, columns] turned. */
    static FloatTensor transposed(FloatTensor matrix) {
        return matrix.transposed();
    }

    static TensorError error(String name, FloatTensor found, FloatTensor expected) {
        int worst = 0;
        double largest = -1;
        for (int i = 0; i < found.values().length; i++) {
            double difference = Math.abs((double) found.values()[i] - expected.values()[i]);
            double own = Double.isNaN(difference) ? Double.POSITIVE_INFINITY : difference;
            if (own > largest) {
                largest = own;
                worst = i;
            }
        }
        List<Long> index = new ArrayList<>();
        long rest = worst;
        for (int axis = expected.shape().rank() - 1; axis >= 0; axis--) {
            index.addFirst(rest % expected.shape().dim(axis));
            rest /= expected.shape().dim(axis);
        }
        double length = length(expected);
        return new TensorError(
                name,
                length == 0 ? Double.POSITIVE_INFINITY : distance(found, expected) / length,
                largest,
                index,
                found.values()[worst],
                expected.values()[worst]);
    }

    /** {@code b + factor·(a − b)} differs from {@code x} by the least length for this factor. */
    static double factor(FloatTensor x, FloatTensor a, FloatTensor b) {
        double product = 0;
        double squares = 0;
        for (int i = 0; i < x.values().length; i++) {
            double change = (double) a.values()[i] - b.values()[i];
            product += ((double) x.values()[i] - b.values()[i]) * change;
            squares += change * change;
        }
        return squares == 0 ? 0 : product / squares;
    }

    /** {@code b + factor·(a − b)}. */
    static FloatTensor between(FloatTensor a, FloatTensor b, double factor) {
        float[] values = new float[a.values().length];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (b.values()[i] + factor * ((double) a.values()[i] - b.values()[i]));
        }
        return new FloatTensor(a.shape(), values);
    }

    static boolean isZero(FloatTensor tensor) {
        for (float value : tensor.values()) {
            if (value != 0) {
                return false;
            }
        }
        return true;
    }

    static long notFinite(FloatTensor tensor) {
        long bad = 0;
        for (float value : tensor.values()) {
            bad += Float.isFinite(value) ? 0 : 1;
        }
        return bad;
    }
}
