package dev.adapt.formats.binding;

import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.Tensor;

/** Whether an adapter changes nothing, as it does before it is trained. */
public final class Untrained {
    private static final int PIECE = 1 << 12;

    private Untrained() {}

    /** Whether the update of every layer is zero, because a factor that begins as zero still is. */
    public static boolean is(BoundAdapter adapter) {
        return !adapter.targets().isEmpty() && adapter.targets().stream().allMatch(target -> isZero(adapter, target));
    }

    private static boolean isZero(BoundAdapter adapter, Target target) {
        boolean zero = false;
        for (Part part : adapter.method().parts(target, adapter.targets())) {
            boolean trainedFromZero = part.trained() && part.initial().equals(new Initial.Constant(0));
            Tensor values = adapter.tensors().get(BoundAdapter.key(part, target));
            zero |= trainedFromZero && values != null && isZero(values);
            if (part.initial() instanceof Initial.RowNorms) {
                return false; // a magnitude of its own changes the weight without an update
            }
        }
        return zero;
    }

    private static boolean isZero(Tensor tensor) {
        long elements = tensor.shape().elements();
        double[] values = new double[(int) Math.min(PIECE, elements)];
        for (long from = 0; from < elements; from += PIECE) {
            int count = (int) Math.min(PIECE, elements - from);
            tensor.read(from, values, 0, count);
            for (int i = 0; i < count; i++) {
                if (values[i] != 0) {
                    return false;
                }
            }
        }
        return true;
    }
}
