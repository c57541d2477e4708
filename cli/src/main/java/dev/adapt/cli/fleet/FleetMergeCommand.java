package dev.adapt.cli.fleet;

import dev.adapt.cli.fleet.task.Task;
import dev.adapt.cli.options.Checkpoints;
import dev.adapt.cli.options.GivenOptions;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.checkpoint.Checkpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code adapt fleet merge}: a merged checkpoint for each of many adapters. */
@Command(
        name = "merge",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Merges each adapter into the base, as `adapt merge` does, into a checkpoint of its own. Each worker reads the base"
                    + " once for as many adapters as --chunk says.",
            "An adapter that cannot be merged is a line of the manifest and one on standard error; the others go on."
        },
        footer = {"", "Example: adapt fleet merge --base base --adapters adapters --out-dir merged --master local[4]"})
final class FleetMergeCommand implements Callable<Integer> {
    @Mixin
    private FleetOptions fleet = new FleetOptions();

    @Option(
            names = "--chunk",
            paramLabel = "N",
            defaultValue = "64",
            description =
                    "the most adapters that a worker merges from one reading of the base; so many unfinished outputs"
                            + " are on the disk for each worker (default: ${DEFAULT-VALUE})")
    private int chunk;

    @Option(
            names = "--by-shard",
            description = "merge one adapter at a time, with the files of a large base spread over the workers")
    private boolean byShard;

    @Option(
            names = "--threads",
            paramLabel = "N",
            description = "tiles that each worker computes at a time (default: cores / workers)")
    private Optional<Integer> threads = Optional.empty();

    @Option(names = "--force", description = "accept a base that an adapter was not trained on")
    private boolean force;

    @Option(names = "--no-fsync", description = "do not wait for the disk; a power cut may then lose results")
    private boolean noFsync;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    @Override
    public Integer call() throws IOException {
        if (byShard) {
            new GivenOptions(spec).refuse("--by-shard merges one adapter at a time", "--chunk");
        }
        if (chunk < 1) {
            throw new UsageException("--chunk: expected at least 1, found " + chunk);
        }
        int tiles = threads.orElseGet(() -> fleet.master().threads());
        if (tiles < 1) {
            throw new UsageException("--threads: expected at least 1, found " + tiles);
        }
        Path base = fleet.base();
        ManifestHeader header;
        try (Checkpoint checkpoint = Checkpoints.open(base)) {
            header = ManifestHeader.of("merge", checkpoint, force ? List.of("--force") : List.of());
        }
        int workers = fleet.master().workers();
        boolean folder = Files.isDirectory(base);
        if (byShard && !folder) {
            throw new UsageException("--by-shard: " + base + " is one file; give a checkpoint folder, or leave it out");
        }
        FleetRun.Work work = byShard
                ? new MergeByShard(base, workers, tiles, force, !noFsync, fleet.resume())
                : FleetRun.chunks(
                        workers,
                        chunk,
                        items -> new Task.Merge(base, items, tiles, force, !noFsync, fleet.resume(), 1));
        return new FleetRun(fleet, header).run(folder ? "" : ".safetensors", work);
    }
}
