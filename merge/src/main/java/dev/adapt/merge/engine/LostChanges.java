package dev.adapt.merge.engine;

import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.LongAdder;

/**
 * How many elements of adapted weights are as they were, because the weight's dtype is too coarse for the change. A few
 * elements of every eighth tile are looked at: to look at all would take as long as to merge.
 */
public final class LostChanges {
    /** One tile of so many is looked at, the first of each weight among them. */
    private static final int TILES = 8;

    /** Pieces of such a tile that are looked at, and bytes of each. */
    private static final int PIECES = 8;

    private static final int BYTES = 64;

    /** Elements from which a share is worth telling. */
    private static final long LEAST = 256;

    private final LongAdder seen = new LongAdder();
    private final LongAdder unchanged = new LongAdder();

    /** Whether a tile is one that is looked at. */
    static boolean looksAt(int tile) {
        return tile % TILES == 0;
    }

    /** The looked-at bytes of a tile, before it is adapted. */
    byte[] sample(MemorySegment tile) {
        byte[] bytes = new byte[PIECES * BYTES];
        MemorySegment into = MemorySegment.ofArray(bytes);
        for (int piece = 0; piece < PIECES && tile.byteSize() >= BYTES; piece++) {
            MemorySegment.copy(tile, offset(tile, piece), into, (long) piece * BYTES, BYTES);
        }
        return bytes;
    }

    private static long offset(MemorySegment tile, int piece) {
        return (tile.byteSize() - BYTES) / PIECES * piece / BYTES * BYTES;
    }

    /**
     * Counts the elements that are the same afterwards.
     *
     * @param before the sample
     * @param width bytes of an element
     */
    void count(byte[] before, MemorySegment tile, int width) {
        byte[] after = sample(tile);
        if (tile.byteSize() < BYTES) {
            return;
        }
        int same = 0;
        for (int at = 0; at < before.length; at += width) {
            boolean equal = true;
            for (int i = at; i < at + width; i++) {
                equal &= before[i] == after[i];
            }
            same += equal ? 1 : 0;
        }
        seen.add(before.length / width);
        unchanged.add(same);
    }

    /** The share of elements that did not change, from 0 to 1; 0 where too few were looked at. */
    public double share() {
        return seen.sum() < LEAST ? 0 : (double) unchanged.sum() / seen.sum();
    }
}
