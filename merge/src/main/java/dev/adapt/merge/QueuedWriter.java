package dev.adapt.merge;

import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorInfo;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.LongAdder;
import java.util.concurrent.locks.ReentrantLock;

/**
 * One file, written by several threads. Linux lets one thread at a time write to a file, and the others spin until it is
 * done: here a thread that would have to leaves its tile to the one that writes, and goes on with the next.
 */
final class QueuedWriter {
    private final SafetensorsWriter writer;
    private final TileBuffers buffers;
    private final LongAdder written;
    private final Queue<Tile> waiting = new ConcurrentLinkedQueue<>();
    private final ReentrantLock writing = new ReentrantLock();
    private boolean failed;

    private record Tile(TensorInfo place, long offset, MemorySegment buffer, long bytes) {}

    /**
     * A queue before a file.
     *
     * @param buffers where a tile's buffer goes when it is written
     * @param written counts the bytes that are written
     */
    QueuedWriter(SafetensorsWriter writer, TileBuffers buffers, LongAdder written) {
        this.writer = writer;
        this.buffers = buffers;
        this.written = written;
    }

    /**
     * Writes a tile, or has another thread do so that is writing already. When all threads are back, all tiles are written.
     *
     * @param offset where it belongs, in bytes from the tensor's start
     * @param bytes how many of the buffer's first bytes are the tile
     * @throws IOException if this or another's tile cannot be written; none is after that
     */
    void write(TensorInfo place, long offset, MemorySegment buffer, long bytes) throws IOException {
        waiting.add(new Tile(place, offset, buffer, bytes));
        // again after the lock is free: one may have come when the queue had been found empty and the lock was still
        // held
        while (!waiting.isEmpty() && writing.tryLock()) {
            try {
                writeWaiting();
            } finally {
                writing.unlock();
            }
        }
    }

    private void writeWaiting() throws IOException {
        for (Tile tile = waiting.poll(); tile != null; tile = waiting.poll()) {
            try {
                if (!failed) {
                    writer.write(tile.place(), tile.offset(), tile.buffer().asSlice(0, tile.bytes()));
                    written.add(tile.bytes());
                }
            } catch (IOException | RuntimeException e) {
                failed = true;
                throw e;
            } finally {
                buffers.giveBack(tile.buffer());
            }
        }
    }
}
