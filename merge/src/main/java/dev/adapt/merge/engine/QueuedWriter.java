package dev.adapt.merge.engine;

import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.safetensors.TensorTarget;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.util.Deque;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.atomic.LongAdder;
import java.util.concurrent.locks.ReentrantLock;

/**
 * One file, written by several threads. Linux lets one thread at a time write to a file, and the others spin until it is
 * done: here a thread that would have to leaves what it has to the one that writes, and goes on with the next.
 */
final class QueuedWriter {
    private final TensorTarget writer;
    private final TileBuffers buffers;
    private final LongAdder written;
    private final Deque<Job> waiting = new ConcurrentLinkedDeque<>();
    private final ReentrantLock writing = new ReentrantLock();
    private boolean failed;

    private interface Work {
        void run() throws IOException;
    }

    /**
     * What is to be written.
     *
     * @param end what follows, whether it was written or not
     */
    private record Job(Work work, Runnable end) {}

    /**
     * A queue before a file.
     *
     * @param buffers where a tile's buffer goes when it is written
     * @param written counts the bytes that are written
     */
    QueuedWriter(TensorTarget writer, TileBuffers buffers, LongAdder written) {
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
        Work work = () -> {
            writer.write(place, offset, buffer.asSlice(0, bytes));
            written.add(bytes);
        };
        waiting.addFirst(new Job(work, () -> buffers.giveBack(buffer))); // before copies, which hold no buffer
        writeWaiting();
    }

    /**
     * Copies bytes of another file, or has another thread do so, as {@link #write} does.
     *
     * @param offset where they belong, in bytes from the start of the data section
     */
    void copy(FileChannel source, long position, long bytes, long offset) throws IOException {
        Work work = () -> {
            writer.transfer(source, position, bytes, offset);
            written.add(bytes);
        };
        waiting.addLast(new Job(work, () -> {}));
        writeWaiting();
    }

    private void writeWaiting() throws IOException {
        try {
            writeUntilEmpty();
        } catch (IOException | RuntimeException e) {
            writeUntilEmpty(); // nothing any more, but other threads wait for the buffers
            throw e;
        }
    }

    private void writeUntilEmpty() throws IOException {
        // again after the lock is free: one may have come when the queue had been found empty and the lock was still
        // held
        while (!waiting.isEmpty() && writing.tryLock()) {
            try {
                writeAll();
            } finally {
                writing.unlock();
            }
        }
    }

    private void writeAll() throws IOException {
        for (Job job = waiting.poll(); job != null; job = waiting.poll()) {
            try {
                if (!failed) {
                    job.work().run();
                }
            } catch (IOException | RuntimeException e) {
                failed = true;
                throw e;
            } finally {
                job.end().run();
            }
        }
    }
}
