package dev.adapt.cli.fleet;

import dev.adapt.cli.fleet.task.Item;
import dev.adapt.cli.fleet.task.Outcome;
import dev.adapt.cli.fleet.task.Task;
import dev.adapt.cli.fleet.task.Verdict;
import dev.adapt.cli.fleet.worker.WorkerPool;
import dev.adapt.cli.terminal.Failure;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.io.Outputs;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.function.Consumer;
import java.util.function.Function;

/** A run of a fleet: its tasks, what became of them, and the exit code that follows. */
final class FleetRun {
    /** The folder of the workers' logs in the output folder. */
    private static final String LOGS = ".fleet";

    private final FleetOptions options;
    private final ManifestHeader header;
    private final Map<Verdict, Integer> counts = new EnumMap<>(Verdict.class);
    private int answered;

    FleetRun(FleetOptions options, ManifestHeader header) {
        this.options = options;
        this.header = header;
    }

    /** What is done with the adapters. */
    interface Work {
        /**
         * Does it.
         *
         * @param logs the folder for the workers' standard error
         * @param answers takes what became of each adapter
         */
        void run(List<Item> items, Path logs, Consumer<Outcome> answers) throws IOException;
    }

    /**
     * Deals the adapters to workers in tasks.
     *
     * @param workers how many
     * @param chunk the most adapters in a task
     * @param task makes a task of adapters
     */
    static Work chunks(int workers, int chunk, Function<List<Item>, Task> task) {
        return (items, logs, answers) -> {
            int size = Math.min(chunk, (items.size() + workers - 1) / workers);
            List<Task> tasks = new ArrayList<>();
            for (int from = 0; from < items.size(); from += size) {
                tasks.add(task.apply(items.subList(from, Math.min(items.size(), from + size))));
            }
            new WorkerPool(logs, answers).run(tasks, workers);
        };
    }

    /**
     * Does a work with all adapters, and records what became of each.
     *
     * @param ending of the outputs' names
     * @return the exit code
     */
    int run(String ending, Work work) throws IOException {
        long start = System.nanoTime();
        Path out = options.outDir();
        Outputs.apartFrom(List.of(options.base(), options.adapters()), true).requireFile(out.resolve(Manifest.FILE));
        SequencedMap<String, Path> adapters = AdapterList.read(options.adapters());
        try (Manifest manifest = Manifest.open(out, header, options.resume())) {
            List<Item> items = new ArrayList<>();
            adapters.forEach((name, folder) ->
                    items.add(new Item(name, folder, out.resolve(name + ending), manifest.made(name))));
            if (options.resume()) {
                Outputs.deleteUnfinished(items.stream().map(Item::out).toList());
            }
            Path logs = Files.createDirectories(out.resolve(LOGS));
            work.run(items, logs, outcome -> take(outcome, manifest, items.size()));
            Terminal.line(
                    "%s: %s in %.1f s; %s",
                    out, counted(items.size()), (System.nanoTime() - start) / 1e9, manifest.path());
        }
        return exitCode();
    }

    private void take(Outcome outcome, Manifest manifest, int all) {
        answered++;
        Verdict verdict = outcome.verdict();
        if (verdict == Verdict.KEPT) {
            // its line stays, and so does what it says
            verdict = manifest.outcome(outcome.name())
                    .map(Outcome::verdict)
                    .filter(Verdict.DIFFERENT::equals)
                    .orElse(Verdict.KEPT);
        } else {
            manifest.add(outcome);
        }
        counts.merge(verdict, 1, Integer::sum);
        if (verdict == Verdict.FAILED) {
            Terminal.progress("adapt: " + outcome.name() + " (" + answered + " of " + all + "): " + outcome.error());
        }
    }

    private String counted(int all) {
        List<String> parts = new ArrayList<>(List.of(all + (all == 1 ? " adapter" : " adapters")));
        counts.forEach((verdict, count) -> parts.add(count + " " + verdict.key()));
        return String.join(", ", parts);
    }

    private int exitCode() {
        if (counts.containsKey(Verdict.FAILED)) {
            return Failure.BAD_INPUT;
        }
        return counts.containsKey(Verdict.DIFFERENT) ? Failure.NOT_EQUAL : 0;
    }
}
