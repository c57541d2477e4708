package dev.adapt.train.djl;

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
 * Dropout (Srivastava et al., JMLR 15, 2014) while training. On the CPU the elements to drop are chosen here: PyTorch takes a
 * seventh of a step of BERT for it. A GPU draws its own.
 *
 * <p>Element i of a draw is decided by a 32-bit hash of i (the two rounds of multiplication that Wellons's "Prospecting for
 * hash functions" found least biased) under a key of 64 bits, which SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) gives
 * each draw. A probability is met to 2⁻³².
 */
public final class Dropout {
    private static final long GAMMA = 0x9e3779b97f4a7c15L;

    /** Elements hashed at a time. */
    private static final int RUN = 1 << 12;

    private final long seed;
    private final List<MemorySegment> masks = new ArrayList<>();
    private final int[] counter = IntStream.range(0, RUN).toArray();
    private final int[] hashed = new int[RUN];
    private long draws;
    private int used;

    public Dropout(long seed) {
        this.seed = seed;
    }

    /** How many masks were drawn. */
    public long draws() {
        return draws;
    }

    /** Goes on as after so many masks. */
    public void resume(long drawn) {
        draws = drawn;
    }

    /** Begins a step: the arrays of the step before must be closed, for their masks' memory is used again. */
    public Dropout begin() {
        used = 0;
        return this;
    }

    /** Where in a step's draws dropout is. */
    record Mark(long draws, int used) {}

    /** Where dropout is now. */
    Mark mark() {
        return new Mark(draws, used);
    }

    /** Draws again what was drawn after a mark. */
    void returnTo(Mark mark) {
        draws = mark.draws();
        used = mark.used();
    }

    /** Uses the memory of the masks drawn after a mark again. */
    void freeAfter(Mark mark) {
        used = mark.used();
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
        int threshold = (int) Math.min(Integer.MAX_VALUE, Math.round(probability * 0x1p31));
        int kept = Float.floatToRawIntBits((float) (1 / (1 - probability)));
        long key = mixed(seed + mixed(++draws * GAMMA));
        for (int from = 0; from < count; from += RUN) {
            hash((int) key + from, (int) (key >>> 32), threshold, kept);
            MemorySegment.copy(
                    hashed, 0, mask, ValueLayout.JAVA_INT, (long) from * Float.BYTES, Math.min(RUN, count - from));
        }
        // PyTorch is lent this memory until the step is closed, and makes no copy of it
        ByteBuffer lent =
                mask.asSlice(0, (long) count * Float.BYTES).asByteBuffer().order(ByteOrder.nativeOrder());
        return step.create(lent, shape, DataType.FLOAT32);
    }

    /** Counting from an array and choosing by the sign is what lets the compiler use vectors, 20 times as fast. */
    private void hash(int first, int key, int threshold, int kept) {
        for (int i = 0; i < RUN; i++) {
            int x = counter[i] + first;
            x ^= x >>> 16;
            x *= 0x21f0aaad;
            x ^= key;
            x ^= x >>> 15;
            x *= 0xd35a2d97;
            x ^= x >>> 15;
            hashed[i] = kept & ~(((x >>> 1) - threshold) >> 31);
        }
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

    private static long mixed(long value) {
        long z = (value ^ (value >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return z ^ (z >>> 31);
    }
}
