package dev.adapt.cli.fleet;

import dev.adapt.cli.fleet.task.Item;
import dev.adapt.cli.fleet.task.Single;
import dev.adapt.cli.fleet.task.Task;
import dev.adapt.cli.fleet.worker.SingleRuns;
import dev.adapt.cli.options.Checkpoints;
import dev.adapt.formats.checkpoint.Checkpoint;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;

/** What a fleet of a command for one adapter takes: the options of all fleets, and those of that command. */
final class SingleOptions {
    @Mixin
    private FleetOptions fleet = new FleetOptions();

    @Parameters(
            arity = "0..*",
            paramLabel = "-- OPTION",
            description = "options of the command for one adapter, after --; {} in them stands for the adapter's name")
    private List<String> options = List.of();

    /** Runs the command for each adapter, one adapter a task. */
    int run(Single single) throws IOException {
        Path base = fleet.base();
        String ending = single.ending(options);
        String any = "adapter";
        Path out = fleet.outDir().resolve(any + ending);
        // what the command line cannot be for one adapter it cannot be for any
        SingleRuns.parsed(single, base, new Item(any, Path.of(any), out, Optional.empty()), options, false);
        ManifestHeader header;
        try (Checkpoint checkpoint = Checkpoints.open(base)) {
            header = ManifestHeader.of(single.key(), checkpoint, options);
        }
        return new FleetRun(fleet, header)
                .run(
                        ending,
                        FleetRun.chunks(
                                fleet.master().workers(),
                                1,
                                items -> new Task.Run(single, base, items, options, fleet.resume(), 1)));
    }
}
