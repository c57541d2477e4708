package dev.adapt.cli.fleet;

import dev.adapt.cli.terminal.Failure;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.checkpoint.ContentDigest;
import dev.adapt.formats.io.OutputFile;
import dev.adapt.formats.io.Outputs;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.function.Consumer;
import picocli.CommandLine;

/** Runs a command for each adapter of a task, in this process: libraries stay loaded from one to the next. */
final class SingleRuns {
    private final Task.Run task;
    private final String host;
    private final Consumer<Outcome> answers;

    SingleRuns(Task.Run task, String host, Consumer<Outcome> answers) {
        this.task = task;
        this.host = host;
        this.answers = answers;
    }

    void run() {
        for (Item item : task.items()) {
            long start = System.nanoTime();
            Outcome outcome;
            try {
                outcome = run(item, start);
            } catch (Exception | OutOfMemoryError | InternalError e) {
                outcome = Outcome.failed(item, Failure.of(e), seconds(start), task.attempt(), host);
            }
            answers.accept(outcome);
        }
    }

    private Outcome run(Item item, long start) throws Exception {
        if (Recorded.isStill(item)) {
            return outcome(item, Verdict.KEPT, item.made(), start);
        }
        String adapter = Recorded.adapter(item.adapter());
        Terminal.Captured<Integer> printed =
                Terminal.capture(parsed(task.single(), task.base(), item, task.options(), task.overwrite()));
        if (!task.single().writes()) {
            Outputs outputs = Outputs.apartFrom(List.of(task.base(), item.adapter()), task.overwrite());
            try (OutputFile file = outputs.file(item.out())) {
                file.text(printed.text());
                file.commit();
            }
        }
        ContentDigest output = ContentDigest.of(item.out(), tensor -> Optional.empty());
        Verdict verdict = printed.result() == 0 ? Verdict.OK : Verdict.DIFFERENT;
        return outcome(item, verdict, Optional.of(new Item.Made(adapter, output)), start);
    }

    /**
     * The command for one adapter, with its arguments.
     *
     * @throws UsageException if an option is unknown, cannot be, or is the fleet's to give
     */
    static Callable<Integer> parsed(Single single, Path base, Item item, List<String> options, boolean overwrite) {
        Callable<Integer> command = single.command();
        try {
            new CommandLine(command)
                    .setCaseInsensitiveEnumValuesAllowed(true)
                    .setExpandAtFiles(false)
                    .parseArgs(single.arguments(base, item, options, overwrite).toArray(String[]::new));
        } catch (CommandLine.ParameterException e) {
            throw new UsageException("`adapt " + single.key() + "` cannot take these options: " + e.getMessage());
        }
        return command;
    }

    private Outcome outcome(Item item, Verdict verdict, Optional<Item.Made> made, long start) {
        int exitCode = verdict == Verdict.DIFFERENT ? Failure.NOT_EQUAL : 0;
        return new Outcome(
                item.name(),
                item.adapter(),
                verdict,
                made,
                seconds(start),
                task.attempt(),
                host,
                exitCode,
                "",
                List.of());
    }

    private static double seconds(long start) {
        return (System.nanoTime() - start) / 1e9;
    }
}
