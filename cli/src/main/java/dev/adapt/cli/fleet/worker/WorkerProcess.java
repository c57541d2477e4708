package dev.adapt.cli.fleet.worker;

import dev.adapt.cli.fleet.task.Outcome;
import dev.adapt.cli.fleet.task.Task;
import dev.adapt.cli.fleet.task.TaskJson;
import dev.adapt.formats.io.JsonDocument;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** A child process that runs {@code adapt work}, with the Java and the options of this one. */
final class WorkerProcess implements AutoCloseable {
    private static final String MAIN = "dev.adapt.cli.Adapt";
    private static final long SECONDS_TO_END = 10;

    private final Process process;
    private final BufferedWriter tasks;
    private final BufferedReader answers;
    private final Path log;

    private WorkerProcess(Process process, Path log) {
        this.process = process;
        this.log = log;
        this.tasks = new BufferedWriter(new OutputStreamWriter(process.getOutputStream(), StandardCharsets.UTF_8));
        this.answers = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
    }

    /**
     * Starts a worker.
     *
     * @param log the file that its standard error is added to
     */
    static WorkerProcess start(Path log) throws IOException {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
                .filter(option -> !option.startsWith("-Dadapt.stderr="))
                .forEach(command::add);
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), MAIN, "work"));
        Process started = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.appendTo(log.toFile()))
                .start();
        return new WorkerProcess(started, log);
    }

    /** Sends a task; one that the worker cannot take shows when its answers are read. */
    void send(Task task) {
        try {
            tasks.write(TaskJson.line(task));
            tasks.newLine();
            tasks.flush();
        } catch (IOException e) {
            process.destroy();
        }
    }

    /** The next answer; empty if the worker has ended. */
    Optional<Outcome> next() throws IOException {
        String line = answers.readLine();
        return line == null
                ? Optional.empty()
                : Optional.of(Outcome.of(JsonDocument.parse(log, line.getBytes(StandardCharsets.UTF_8))));
    }

    /** The exit code of a worker that has ended. */
    int exitCode() throws InterruptedException {
        return process.waitFor();
    }

    Path log() {
        return log;
    }

    /** Asks the worker to end at once. */
    void askToEnd() {
        process.destroy();
    }

    /** Asks the worker to end at once, and ends it if it does not. */
    void end() {
        askToEnd();
        try {
            if (!process.waitFor(SECONDS_TO_END, TimeUnit.SECONDS)) {
                process.destroyForcibly();
            }
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }

    /** Tells the worker that there are no more tasks, and waits for its end. */
    @Override
    public void close() {
        try {
            tasks.close();
            process.waitFor(SECONDS_TO_END, TimeUnit.SECONDS);
        } catch (IOException e) {
            process.destroy(); // it had ended
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        if (process.isAlive()) {
            end();
        }
    }
}
