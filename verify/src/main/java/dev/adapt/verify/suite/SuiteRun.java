package dev.adapt.verify.suite;

import dev.adapt.verify.compare.Report;
import dev.adapt.verify.form.Engine;
import dev.adapt.verify.form.Settings;
import dev.adapt.verify.form.Verification;
import dev.adapt.verify.runner.Device;
import dev.adapt.verify.suite.SuiteResult.GateResult;
import dev.adapt.verify.suite.SuiteResult.ModelResult;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.Semaphore;
import java.util.function.Function;

/**
 * Runs a suite: as many models at a time as there are processors and memory for. What goes wrong with one model is its
 * result and does not reach the others.
 *
 * @param engine that runs checkpoints on a device
 * @param texts reads a file of texts
 * @param labels reads a file of labelled texts
 * @param listener of each model, by its name
 */
public record SuiteRun(
        Function<Device, Engine> engine,
        Texts texts,
        GateRun.Labels labels,
        Function<String, Engine.Listener> listener) {
    /**
     * Bytes of memory for a parameter. One form is loaded at a time, and takes that at most: as float64 in the reference, as
     * float32 twice while ONNX Runtime packs its weights, as float32 on an engine.
     */
    private static final long BYTES = 8;

    private static final int MEGABYTE = 1 << 20;

    /** Reads a file of texts. */
    @FunctionalInterface
    public interface Texts {
        Engine.Texts read(Path file) throws IOException;
    }

    /** Runs all models. */
    public SuiteResult of(Suite suite) {
        long start = System.nanoTime();
        int processors = Runtime.getRuntime().availableProcessors();
        int threads = Math.min(suite.models().size(), suite.parallel() > 0 ? suite.parallel() : processors);
        int memory = (int) Math.max(1, Runtime.getRuntime().maxMemory() / MEGABYTE);
        Semaphore free = new Semaphore(memory, true);
        List<ModelResult> results = new ArrayList<>();
        try (ExecutorService pool = Executors.newFixedThreadPool(threads)) {
            List<Future<ModelResult>> running = new ArrayList<>();
            for (Suite.Model model : suite.models()) {
                int needed = (int) Math.min(memory, 1 + BYTES * Parameters.of(model.forms()) / MEGABYTE);
                running.add(pool.submit(() -> {
                    free.acquire(needed);
                    try {
                        return one(model);
                    } finally {
                        free.release(needed);
                    }
                }));
            }
            for (Future<ModelResult> own : running) {
                results.add(own.get());
            }
        } catch (ExecutionException e) {
            throw new IllegalStateException(e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        }
        return new SuiteResult(suite.name(), results, Environment.here(), (System.nanoTime() - start) / 1e9);
    }

    /** One model, whatever happens. */
    private ModelResult one(Suite.Model model) {
        long start = System.nanoTime();
        Optional<Report> report = Optional.empty();
        List<GateResult> gates = new ArrayList<>();
        List<Environment.Digest> files = List.of();
        Optional<Throwable> error = Optional.empty();
        try {
            Suite.Model with = prepared(model);
            files = Environment.of(with.forms());
            report = Optional.of(Verification.of(with.forms(), with.settings(), listener.apply(model.name())));
            for (Gate gate : with.gates()) {
                try (GateRun run = new GateRun(with, labels)) {
                    gates.add(run.of(gate));
                }
            }
        } catch (IOException | RuntimeException | OutOfMemoryError e) {
            error = Optional.of(e);
        }
        return new ModelResult(
                model.name(),
                error.isPresent() ? Optional.empty() : report,
                error,
                gates,
                files,
                (System.nanoTime() - start) / 1e9);
    }

    /** The model with its engine and its texts. */
    private Suite.Model prepared(Suite.Model model) throws IOException {
        Settings settings = model.settings().on(engine.apply(model.settings().device()));
        if (model.texts().isPresent()) {
            settings = settings.comparedOn(texts.read(model.texts().get()));
        }
        return new Suite.Model(model.name(), model.forms(), settings, model.texts(), model.gates());
    }
}
