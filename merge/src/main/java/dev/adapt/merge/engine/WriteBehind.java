package dev.adapt.merge.engine;

import dev.adapt.formats.safetensors.SafetensorsWriter;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.LongAdder;

/** Has the disk begin to write while the merge goes on, so that the flush at its end finds little left to do. */
public interface WriteBehind extends AutoCloseable {
    /** Bytes between two flushes: enough that each is one long write. */
    long STEP = 1 << 27;

    /** Begins. */
    static WriteBehind of(List<SafetensorsWriter> writers, LongAdder written) {
        AtomicBoolean open = new AtomicBoolean(true);
        Thread thread = Thread.ofPlatform().daemon().name("write-behind").start(() -> {
            long flushed = written.sum();
            while (open.get()) {
                if (written.sum() - flushed < STEP) {
                    pause();
                    continue;
                }
                flushed = written.sum();
                try {
                    for (SafetensorsWriter writer : writers) {
                        writer.flush();
                    }
                } catch (IOException e) {
                    return; // the flush at the end meets it again, and reports it
                }
            }
        });
        return () -> {
            // not by an interrupt, which would close the channel under a flush
            open.set(false);
            join(thread);
        };
    }

    private static void pause() {
        try {
            Thread.sleep(10);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Waits until a thread ends, or this one is interrupted. */
    static void join(Thread thread) {
        try {
            thread.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    void close();
}
