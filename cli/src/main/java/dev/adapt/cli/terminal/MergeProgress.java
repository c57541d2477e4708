package dev.adapt.cli.terminal;

import java.util.Locale;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.LongAdder;

/** How far a merge is, on a terminal: bytes, their rate and the time left. Elsewhere it shows nothing. */
public final class MergeProgress implements AutoCloseable {
    private static final int BAR = 24;
    private static final long REDRAW_MILLIS = 100;

    private final AtomicBoolean open = new AtomicBoolean(Terminal.isWatched());

    private MergeProgress() {}

    /** Begins to show on standard error how {@code written} grows to {@code total}. */
    public static MergeProgress show(LongAdder written, long total) {
        MergeProgress progress = new MergeProgress();
        if (progress.open.get()) {
            Thread.ofPlatform().daemon().name("progress").start(() -> progress.draw(written, total));
        }
        return progress;
    }

    private void draw(LongAdder written, long total) {
        long start = System.nanoTime();
        try {
            while (open.get()) {
                Thread.sleep(REDRAW_MILLIS);
                synchronized (this) {
                    if (open.get()) {
                        Terminal.redraw(line(written.sum(), total, (System.nanoTime() - start) / 1e9));
                    }
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    static String line(long done, long total, double seconds) {
        double rate = done / seconds;
        int filled = (int) (BAR * Math.min(1, (double) done / Math.max(1, total)));
        String left = done == 0 ? "" : String.format(Locale.ROOT, ", %.0f s left", (total - done) / rate);
        if (done >= total) {
            left = ", waiting for the disk";
        }
        return "[" + "=".repeat(filled) + " ".repeat(BAR - filled) + "]  " + new Bytes(done) + " of " + new Bytes(total)
                + ", " + new Bytes((long) rate) + "/s" + left;
    }

    /** Clears the line. */
    @Override
    public synchronized void close() {
        if (open.getAndSet(false)) {
            Terminal.redraw("");
        }
    }
}
