package dev.adapt.cli.fleet.worker;

import dev.adapt.cli.fleet.task.Attempt;
import dev.adapt.cli.fleet.task.Item;
import dev.adapt.cli.fleet.task.Outcome;
import dev.adapt.cli.fleet.task.Task;
import dev.adapt.cli.terminal.Failure;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.Outputs;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Consumer;
import java.util.stream.Collectors;

/**
 * Deals tasks to worker processes on this machine. The adapters that a worker had not answered for when it ended are tried
 * again one by one, by a new worker, so that one that kills its worker fails alone.
 */
public final class WorkerPool {
    private static final int MOST_ATTEMPTS = 3;

    /** Temporary names hold so many characters of an output's name: longer ones may not tell two outputs apart. */
    private static final int TOLD_APART = 50;

    private final Path logs;
    private final Consumer<Outcome> answers;
    private final Queue<Task> waiting = new ConcurrentLinkedQueue<>();
    private final Set<WorkerProcess> running = ConcurrentHashMap.newKeySet();
    private volatile boolean ending;

    /**
     * A pool without workers.
     *
     * @param logs the folder that gets a file for each worker's standard error
     * @param answers takes the answers, one at a time
     */
    public WorkerPool(Path logs, Consumer<Outcome> answers) {
        this.logs = logs;
        this.answers = answers;
    }

    /** Has tasks done by so many workers, and returns when all are answered. */
    public void run(List<? extends Task> tasks, int workers) throws IOException {
        waiting.addAll(tasks);
        Thread hook = Thread.ofPlatform().name("end-workers").unstarted(this::endAll);
        Runtime.getRuntime().addShutdownHook(hook);
        try (ExecutorService threads = Executors.newThreadPerTaskExecutor(
                Thread.ofPlatform().name("worker-", 0).factory())) {
            List<Future<?>> all = new ArrayList<>();
            for (int i = 0; i < Math.min(workers, tasks.size()); i++) {
                Path log = logs.resolve("worker-" + i + ".log");
                all.add(threads.submit(() -> {
                    work(log);
                    return null;
                }));
            }
            for (Future<?> each : all) {
                each.get();
            }
        } catch (ExecutionException e) {
            if (e.getCause() instanceof IOException cause) {
                throw cause;
            }
            if (e.getCause() instanceof RuntimeException cause) {
                throw cause;
            }
            throw new IllegalStateException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            endAll();
        } finally {
            forget(hook);
        }
        Outputs.deleteUnfinished(tasks.stream()
                .flatMap(task -> task.items().stream())
                .map(Item::out)
                .toList());
    }

    private static void forget(Thread hook) {
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException e) {
            return; // the process is asked to end already, and the hook ends the workers
        }
    }

    private void endAll() {
        ending = true;
        running.forEach(WorkerProcess::askToEnd);
        running.forEach(WorkerProcess::end);
    }

    private void work(Path log) throws IOException, InterruptedException {
        Task task = waiting.poll();
        while (task != null && !ending) {
            try (WorkerProcess worker = WorkerProcess.start(log)) {
                running.add(worker);
                Collection<Item> left = List.of();
                Set<Path> existed = Set.of();
                while (task != null && left.isEmpty()) {
                    existed = existing(task);
                    left = ask(worker, task);
                    if (left.isEmpty()) {
                        task = waiting.poll();
                    }
                }
                if (task != null && !ending) {
                    retry(task, List.copyOf(left), existed, worker);
                    task = waiting.poll();
                }
                running.remove(worker);
            }
        }
    }

    private static Set<Path> existing(Task task) {
        return task.items().stream().map(Item::out).filter(Files::exists).collect(Collectors.toSet());
    }

    /** The adapters that the worker has not answered for when it ends; none where it goes on. */
    private Collection<Item> ask(WorkerProcess worker, Task task) throws IOException {
        Map<String, Item> left = new LinkedHashMap<>();
        task.items().forEach(item -> left.put(item.name(), item));
        worker.send(task);
        while (!left.isEmpty()) {
            Optional<Outcome> outcome = worker.next();
            if (outcome.isEmpty()) {
                break;
            }
            if (left.remove(outcome.get().name()) == null) {
                throw new FormatException(
                        worker.log(), outcome.get().name(), "was answered by a worker that was not asked");
            }
            answer(outcome.get());
        }
        return left.values();
    }

    /** @param existed outputs that were there before the worker got the task */
    private void retry(Task task, List<Item> left, Set<Path> existed, WorkerProcess worker)
            throws IOException, InterruptedException {
        int exitCode = worker.exitCode();
        Outputs.deleteUnfinished(left.stream()
                .map(Item::out)
                .filter(out -> String.valueOf(out.getFileName()).length() < TOLD_APART)
                .toList());
        for (Item item : left) {
            if (task.attempt() < MOST_ATTEMPTS) {
                waiting.add(task.again(item, !existed.contains(item.out())));
            } else {
                String sentence = "its worker ended with exit code " + exitCode + ", " + task.attempt()
                        + " times; what it said is in " + worker.log();
                answer(Attempt.first().numbered(task.attempt()).failed(item, Failure.input(sentence), 0));
            }
        }
    }

    private synchronized void answer(Outcome outcome) {
        answers.accept(outcome);
    }
}
