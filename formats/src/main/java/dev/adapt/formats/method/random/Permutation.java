package dev.adapt.formats.method.random;

import java.util.HashMap;
import java.util.Map;

/** The beginning of torch's {@code randperm}. */
public final class Permutation {
    /** From here on torch shuffles in another way: a draw of 32 bits would prefer small numbers. */
    private static final long LARGE = 0xffffffffL / 20;

    private Permutation() {}

    /**
     * The first {@code count} elements of {@code torch.randperm(size, generator=torch.Generator().manual_seed(seed))}. Takes
     * memory for those alone.
     */
    public static long[] first(int count, long size, long seed) {
        if (count > size) {
            throw new IllegalArgumentException(count + " of " + size + " elements");
        }
        TorchRandom random = new TorchRandom(seed);
        return size < LARGE ? shuffled(count, size, random) : insideOut(count, size, random);
    }

    /** Fisher and Yates: element i is final after step i. */
    private static long[] shuffled(int count, long size, TorchRandom random) {
        Map<Long, Long> moved = new HashMap<>();
        long[] first = new long[count];
        for (int i = 0; i < count; i++) {
            long own = moved.getOrDefault((long) i, (long) i);
            // torch draws nothing for the last element
            long other = i == size - 1 ? i : i + (random.next() & 0xffffffffL) % (size - i);
            first[i] = moved.getOrDefault(other, other);
            moved.put(other, own);
            moved.remove((long) i);
            if (other == i) {
                first[i] = own;
            }
        }
        return first;
    }

    /** The inside-out variant: step i puts i at a place up to i, and what was there at place i. */
    private static long[] insideOut(int count, long size, TorchRandom random) {
        long[] first = new long[count];
        for (long i = 0; i < size; i++) {
            long high = random.next();
            long draw = (high << 32) | (random.next() & 0xffffffffL);
            long place = Long.remainderUnsigned(draw, i + 1);
            if (i < count) {
                first[(int) i] = first[(int) place];
            }
            if (place < count) {
                first[(int) place] = i;
            }
        }
        return first;
    }
}
