package dev.adapt.cli.terminal;

import dev.adapt.train.Progress;
import dev.adapt.train.data.Truncation;
import dev.adapt.train.metric.Scores;
import java.util.Locale;

/** A training run on standard error: a bar that redraws itself on a terminal, else a line now and then. */
public final class TrainProgress implements Progress {
    private static final int BAR = 24;
    private static final long REDRAW_NANOS = 100_000_000;
    private static final long LINE_NANOS = 10_000_000_000L;

    private final boolean terminal = Terminal.isWatched();
    private double smoothed = Double.NaN;
    private long drawn;
    private boolean open;

    public TrainProgress() {
        this.drawn = System.nanoTime();
    }

    @Override
    public void found(String what) {
        Terminal.progress(what);
    }

    @Override
    public void noted(String what) {
        endLine();
        Terminal.note(what);
    }

    @Override
    public void started(Start start) {
        Terminal.progress(String.format(
                Locale.ROOT,
                "%,d training and %,d dev examples, %,d steps, %,d %sparameters, on %s",
                start.training().examples(),
                start.dev().examples(),
                start.steps(),
                start.adapterParameters(),
                start.headParameters() == 0
                        ? ""
                        : String.format(Locale.ROOT, "adapter and %,d head ", start.headParameters()),
                start.device()));
        noteCut(start.training(), "training");
        noteCut(start.dev(), "dev");
    }

    private static void noteCut(Truncation truncation, String kind) {
        if (truncation.cut() > 0) {
            Terminal.note(truncation.text(kind) + " (--max-length)");
        }
    }

    @Override
    public void stepped(Step step) {
        smoothed = Double.isNaN(smoothed) ? step.loss() : 0.95 * smoothed + 0.05 * step.loss();
        long now = System.nanoTime();
        if (now - drawn < (terminal ? REDRAW_NANOS : LINE_NANOS)) {
            return;
        }
        drawn = now;
        String line = String.format(
                Locale.ROOT,
                "epoch %d  %sstep %d of %d  loss %.4f  %.1f examples/s",
                step.epoch(),
                terminal ? bar((double) step.step() / step.steps()) : "",
                step.step(),
                step.steps(),
                smoothed,
                step.examplesPerSecond());
        if (terminal) {
            Terminal.redraw(line);
            open = true;
        } else {
            Terminal.progress(line);
        }
    }

    private static String bar(double share) {
        int filled = (int) (BAR * share);
        return "[" + "=".repeat(filled) + " ".repeat(BAR - filled) + "] ";
    }

    @Override
    public void evaluated(int epoch, Scores scores, boolean best) {
        endLine();
        Terminal.progress(String.format(
                "%s: dev %s%s",
                epoch == 0 ? "before training" : "epoch " + epoch, scores.text(), best ? "  (best so far)" : ""));
    }

    /** Ends the line that the bar stands on. */
    public void endLine() {
        if (open) {
            Terminal.endRedrawn();
            open = false;
        }
    }
}
