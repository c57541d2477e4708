package dev.adapt.merge;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Deque;

/** Where packed factors lie: as many slots as are in use at a time, all of one size, used again from weight to weight. */
final class FactorMemory implements AutoCloseable {
    private static final int ALIGNMENT = 64;

    private final Arena arena = Arena.ofShared();
    private final Deque<Slot> free = new ArrayDeque<>();
    private final int left;
    private final int right;

    /**
     * The factors of one weight.
     *
     * @param left outside the heap; a tile copies the little of it that it needs
     * @param right all of which each tile reads
     */
    @SuppressWarnings("ArrayRecordComponent")
    record Slot(MemorySegment left, float[] right) {}

    /**
     * Slots for factors of up to that many floats.
     */
    FactorMemory(int left, int right) {
        this.left = left;
        this.right = right;
    }

    /** A slot that nobody uses. What it holds is of no meaning. */
    synchronized Slot take() {
        return free.isEmpty()
                ? new Slot(arena.allocate((long) left * Float.BYTES, ALIGNMENT), new float[right])
                : free.pop();
    }

    synchronized void giveBack(Slot slot) {
        free.push(slot);
    }

    @Override
    public void close() {
        arena.close();
    }
}
