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
                    "batches for each step of the optimizer, gradients added: 4 batches of 8 train as one of 32, in the"
                            + " memory of 8 (default: ${DEFAULT-VALUE})")
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
            description = "stop after N epochs without a better score (default: train all epochs)")
    private Optional<Integer> patience = Optional.empty();

    @Option(
            names = "--checkpoint-every",
            paramLabel = "N",
            description =
                    "write a checkpoint every N steps into the folder OUT.checkpoint beside the output; it is kept"
                            + " when the run diverges or is killed (default: none)")
    private Optional<Integer> checkpointEvery = Optional.empty();

    @Option(
            names = "--resume",
            paramLabel = "DIR",
            description =
                    "continue from a checkpoint of --checkpoint-every, with the same options; on the CPU the result is"
                            + " that of an uninterrupted run, bit for bit")
    private Optional<Path> resume = Optional.empty();

    Course course() {
        return new Course(decay, accumulate, optional(patience), optional(checkpointEvery), resume);
    }

    private static OptionalInt optional(Optional<Integer> value) {
        return value.map(OptionalInt::of).orElse(OptionalInt.empty());
    }
}
