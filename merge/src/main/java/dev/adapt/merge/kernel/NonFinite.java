package dev.adapt.merge.kernel;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.formats.tensor.ValueCount;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.LongAdder;

/**
 * Counts the elements of one merged tensor that are NaN or infinite, by cause. Kernels look at every element they round and
 * call {@link #add} only for such an element, so that a tensor of finite values costs one comparison for each vector.
 *
 * <p>Threads may add at once; the error is made after the last tile.
 */
public final class NonFinite {
    private final LongAdder ofBase = new LongAdder();
    private final LongAdder ofUpdate = new LongAdder();
    private final LongAdder ofDtype = new LongAdder();

    /**
     * Counts one element that came out NaN or infinite.
     *
     * @param before the base's element
     * @param change what the update adds to it
     */
    public void add(double before, double change) {
        if (!Double.isFinite(before)) {
            ofBase.increment();
        } else if (!Double.isFinite(change)) {
            ofUpdate.increment();
        } else {
            ofDtype.increment();
        }
    }

    /** Whether there was one. */
    public boolean any() {
        return ofBase.sum() + ofUpdate.sum() + ofDtype.sum() > 0;
    }

    /**
     * The error for an adapted weight.
     *
     * @param place the merged tensor
     * @param tensors the adapter's tensors that its update is made of, by their keys
     */
    public FormatException inUpdate(TensorView weight, TensorInfo place, Map<String, Tensor> tensors) {
        if (ofBase.sum() > 0) {
            return new FormatException(
                    weight.file(),
                    weight.name(),
                    share(ofBase, place) + " elements are NaN or infinite in the base, and an update cannot mend them;"
                            + " get an undamaged copy of the base");
        }
        if (ofUpdate.sum() == 0) {
            return overflow(weight.file(), place);
        }
        for (Map.Entry<String, Tensor> each : tensors.entrySet()) {
            ValueCount count = ValueCount.nonFinite(each.getValue());
            if (count.any()) {
                return inAdapter(weight.file(), each.getKey(), each.getValue(), count);
            }
        }
        return new FormatException(
                weight.file(),
                place.name(),
                share(ofUpdate, place) + " elements of its update overflow float32, though the adapter's own values are"
                        + " finite; check the adapter's alpha and the scale of its tensors");
    }

    /** The error for a tensor that the adapter holds whole. */
    public FormatException inReplacement(Path base, TensorInfo place, Tensor values) {
        ValueCount count = ValueCount.nonFinite(values);
        return count.any() ? inAdapter(base, place.name(), values, count) : overflow(base, place);
    }

    private static FormatException inAdapter(Path base, String key, Tensor values, ValueCount count) {
        Path file = values instanceof TensorView view ? view.file() : base;
        String name = values instanceof TensorView view ? view.name() : key;
        return new FormatException(
                file,
                name,
                "holds " + count + " in the adapter, which would spread into the merged weights;"
                        + " get an undamaged copy of the adapter, or train it again");
    }

    private FormatException overflow(Path base, TensorInfo place) {
        return new FormatException(
                base,
                place.name(),
                share(ofDtype, place) + " merged elements are finite but larger than " + place.dtype()
                        + " holds (about " + largest(place)
                        + "); convert the base to BF16 or F32, and merge into that");
    }

    private static String largest(TensorInfo place) {
        return switch (Floats.of(place.dtype())) {
            case F16 -> "65504";
            case F32, BF16 -> "3.4e38";
            case F64 -> "1.8e308";
        };
    }

    private static String share(LongAdder count, TensorInfo place) {
        return count.sum() + " of its " + place.shape().elements();
    }

    @Override
    public String toString() {
        return List.of(ofBase, ofUpdate, ofDtype).toString();
    }
}
