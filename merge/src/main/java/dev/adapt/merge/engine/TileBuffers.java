package dev.adapt.merge.engine;

import java.io.InterruptedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Deque;

/** Room for tiles that are computed or wait to be written, all of one size, used again: the last that was given back first. */
final class TileBuffers implements AutoCloseable {
    private static final int ALIGNMENT = 64;

    private final Arena arena = Arena.ofShared();
    private final Deque<MemorySegment> free = new ArrayDeque<>();
    private final long bytes;
    private int unmade;

    /**
     * Buffers of that size.
     *
     * @param count how many there are at most
     */
    TileBuffers(long bytes, int count) {
        this.bytes = bytes;
        this.unmade = count;
    }

    /** A buffer that nobody uses, for which it waits. */
    synchronized MemorySegment take() throws InterruptedIOException {
        if (free.isEmpty() && unmade > 0) {
            unmade--;
            return arena.allocate(bytes, ALIGNMENT);
        }
        while (free.isEmpty()) {
            try {
                wait();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new InterruptedIOException("the merge was interrupted");
            }
        }
        return free.pop();
    }

    synchronized void giveBack(MemorySegment buffer) {
        free.push(buffer);
        notify();
    }

    @Override
    public void close() {
        arena.close();
    }
}
