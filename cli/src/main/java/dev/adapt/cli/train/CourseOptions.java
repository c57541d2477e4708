package dev.adapt.cli.train;

import dev.adapt.train.Course;
import dev.adapt.train.djl.Schedule;
import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalInt;
import picocli.CommandLine.Option;

/** How a run goes through its steps. */
final class CourseOptions {
    @Option(
            names = "--accumulate",
            paramLabel = "N",
            defaultValue = "1",
            description =
                    "batches whose gradients are added for one step: 4 of 8 examples learn as one of 32, in the memory"
                            + " of 8 (default: ${DEFAULT-VALUE})")
    private int accumulate;

    @Option(
            names = "--schedule",
            defaultValue = "linear",
            description = "how the learning rate falls after the warm-up: ${COMPLETION-CANDIDATES} (default:"
                    + " ${DEFAULT-VALUE})")
    private Schedule.Decay decay = Schedule.Decay.LINEAR;

    @Option(
            names = "--patience",
            paramLabel = "N",
            description = "end after N epochs without a better score (default: train all epochs)")
    private Optional<Integer> patience = Optional.empty();

    @Option(
            names = "--checkpoint-every",
            paramLabel = "N",
            description = "write a checkpoint every N steps, into the folder OUT.checkpoint beside the output; it stays"
                    + " when the run diverges or is killed (default: none)")
    private Optional<Integer> checkpointEvery = Optional.empty();

    @Option(
            names = "--resume",
            paramLabel = "DIR",
            description =
                    "go on from a checkpoint, with the options it was begun with: on the CPU the result is the same"
                            + " to the bit")
    private Optional<Path> resume = Optional.empty();

    Course course() {
        return new Course(decay, accumulate, optional(patience), optional(checkpointEvery), resume);
    }

    private static OptionalInt optional(Optional<Integer> value) {
        return value.map(OptionalInt::of).orElse(OptionalInt.empty());
    }
}
