package dev.adapt.formats.tensor;

import dev.adapt.formats.FormatException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * How many elements of a tensor are NaN, and how many are infinite. Prints as {@code 3 NaN and 1 infinite of 64 values}.
 *
 * @param all the number of elements looked at
 */
public record ValueCount(long nan, long infinite, long all) {
    private static final int CHUNK = 1 << 14;

    /** Counts all elements, a piece of the tensor at a time. */
    public static ValueCount nonFinite(Tensor tensor) {
        long elements = tensor.shape().elements();
        double[] values = new double[(int) Math.min(CHUNK, elements)];
        long nan = 0;
        long infinite = 0;
        for (long from = 0; from < elements; from += CHUNK) {
            int count = (int) Math.min(CHUNK, elements - from);
            tensor.read(from, values, 0, count);
            for (int i = 0; i < count; i++) {
                nan += Double.isNaN(values[i]) ? 1 : 0;
                infinite += Double.isInfinite(values[i]) ? 1 : 0;
            }
        }
        return new ValueCount(nan, infinite, elements);
    }

    /**
     * A tensor that something is computed from, once all of its elements are known to be finite.
     *
     * @param file the file it comes from
     * @throws FormatException if one is NaN or infinite
     */
    public static <T extends Tensor> T requireFinite(Path file, String name, T tensor) {
        ValueCount count = nonFinite(tensor);
        if (count.any()) {
            throw new FormatException(
                    file,
                    name,
                    "holds " + count + ", which would spread into the result; get an undamaged copy of the file");
        }
        return tensor;
    }

    /**
     * Makes sure that what was computed can be written.
     *
     * @param file that it is for
     * @throws FormatException if an element is NaN or infinite
     */
    public static void requireFiniteResults(Path file, Map<String, FloatTensor> tensors) {
        tensors.forEach((name, tensor) -> {
            ValueCount count = nonFinite(tensor);
            if (count.any()) {
                throw new FormatException(
                        file,
                        name,
                        "is not written: it would hold " + count
                                + "; what it is computed from holds them, or overflows");
            }
        });
    }

    /** Whether there is one. */
    public boolean any() {
        return nan + infinite > 0;
    }

    @Override
    public String toString() {
        List<String> found = new ArrayList<>();
        if (nan > 0) {
            found.add(nan + " NaN");
        }
        if (infinite > 0) {
            found.add(infinite + " infinite");
        }
        return (found.isEmpty() ? "only finite" : String.join(" and ", found)) + " of " + all + " values";
    }
}
