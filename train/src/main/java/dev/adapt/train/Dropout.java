package dev.adapt.train;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Dropout (Srivastava et al., JMLR 15, 2014) while training. On the CPU the elements to drop are chosen here, by all cores
 * and alike for any number of them: PyTorch draws them on one, which takes a seventh of a step of BERT. A GPU draws its own.
 *
 * <p>Element i of draw n is decided by 16 bits of SplitMix64's output i/4 (Steele, Lea and Flood, OOPSLA 2014) in a stream of
 * its own, so that a probability is met to 2⁻¹⁷; the others are scaled by what was really kept.
 */
final class Dropout {
    private static final long GAMMA = 0x9e3779b97f4a7c15L;

    /** Elements that one task chooses. */
    private static final int RUN = 1 << 14;

    private final long seed;
    private final List<MemorySegment> masks = new ArrayList<>();
    private long draws;
    private int used;

    Dropout(long seed) {
        this.seed = seed;
    }

    /** Begins a step: the arrays of the step before must be closed, for their masks' memory is used again. */
    Dropout begin() {
        used = 0;
        return this;
    }

    /** x with elements dropped and the others scaled up, in the manager of a step. */
    NDArray drop(NDManager step, NDArray x, double probability) {
        NDArray dropped = x.getDevice().isGpu()
                ? x.getNDArrayInternal().dropout(x, (float) probability, true).singletonOrThrow()
                : x.mul(mask(step, x.getShape(), probability));
        dropped.attach(step);
        return dropped;
    }

    private NDArray mask(NDManager step, Shape shape, double probability) {
        int count = Math.toIntExact(shape.size());
        MemorySegment mask = memory(count);
        int dropped = (int) Math.round(probability * (1 << 16));
        float kept = (float) (1 / (1 - dropped * 0x1p-16));
        long stream = mixed(seed + mixed(++draws * GAMMA));
        IntStream.range(0, Math.ceilDiv(count, RUN))
                .parallel()
                .forEach(run -> fill(mask, run * RUN, Math.min(count, (run + 1) * RUN), stream, dropped, kept));
        // PyTorch is lent this memory until the step is closed, and makes no copy of it
        ByteBuffer lent =
                mask.asSlice(0, (long) count * Float.BYTES).asByteBuffer().order(ByteOrder.nativeOrder());
        return step.create(lent, shape, DataType.FLOAT32);
    }

    private MemorySegment memory(int count) {
        long bytes = (long) count * Float.BYTES;
        if (used == masks.size()) {
            masks.add(Arena.ofAuto().allocate(bytes, 64));
        } else if (masks.get(used).byteSize() < bytes) {
            masks.set(used, Arena.ofAuto().allocate(bytes, 64));
        }
        return masks.get(used++);
    }

    private static void fill(MemorySegment mask, int from, int to, long stream, int dropped, float kept) {
        long bits = 0;
        for (int i = from; i < to; i++) {
            bits = (i & 3) == 0 ? mixed(stream + (i >>> 2) * GAMMA) : bits >>> 16;
            mask.setAtIndex(ValueLayout.JAVA_FLOAT, i, (bits & 0xffff) < dropped ? 0 : kept);
        }
    }

    private static long mixed(long value) {
        long z = (value ^ (value >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return z ^ (z >>> 31);
    }
}
