package dev.adapt.merge.engine;

import dev.adapt.merge.kernel.Lane;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Work in an order that the threads keep to: each takes the next job whenever it has none, so that reads and writes stay
 * close to the order of the file, and a job may wait for one before it.
 */
public final class Schedule {
    /** Jobs of one kind. */
    public interface Work {
        public void run(int index, Lane lane) throws IOException;
    }

    private record Stage(int jobs, Work work) {}

    private record Job(Work work, int index) {}

    private final List<Stage> stages = new ArrayList<>();
    private int stage;
    private int index;
    private boolean stopped;

    /** Adds jobs at the end. */
    public void add(int jobs, Work work) {
        stages.add(new Stage(jobs, work));
    }

    /**
     * Does all jobs; after a failure, none that had not begun.
     *
     * @throws IOException what a job threw; so with unchecked exceptions
     */
    public void run(int threads) throws IOException {
        List<Future<?>> lanes = new ArrayList<>();
        try (ExecutorService pool = Executors.newFixedThreadPool(threads)) {
            for (int i = 0; i < threads; i++) {
                lanes.add(pool.submit(() -> {
                    work();
                    return null;
                }));
            }
        }
        for (Future<?> lane : lanes) {
            await(lane);
        }
    }

    private void work() throws IOException {
        boolean whole = false;
        try (Lane lane = new Lane()) {
            for (Optional<Job> job = next(); job.isPresent(); job = next()) {
                job.get().work().run(job.get().index(), lane);
            }
            whole = true;
        } finally {
            if (!whole) {
                stop();
            }
        }
    }

    private synchronized Optional<Job> next() {
        while (stage < stages.size() && index == stages.get(stage).jobs()) {
            stage++;
            index = 0;
        }
        return stopped || stage == stages.size()
                ? Optional.empty()
                : Optional.of(new Job(stages.get(stage).work(), index++));
    }

    private synchronized void stop() {
        stopped = true;
    }

    /** Waits for a result, and throws what its computation threw. */
    static <T> T await(Future<T> future) throws IOException {
        try {
            return future.get();
        } catch (ExecutionException e) {
            switch (e.getCause()) {
                case IOException io -> throw io;
                case UncheckedIOException io -> throw new IOException(io.getMessage(), io);
                case RuntimeException runtime -> throw runtime;
                case Error error -> throw error;
                case null, default -> throw new IllegalStateException(e);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("the merge was interrupted", e);
        }
    }
}
