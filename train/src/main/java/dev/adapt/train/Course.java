package dev.adapt.train;

import dev.adapt.formats.UsageException;
import dev.adapt.train.djl.Schedule;
import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * How a run goes through its steps.
 *
 * @param decay how the learning rate falls after the warm-up
 * @param accumulate batches whose gradients are added for one step
 * @param patience epochs without a better score after which the run ends
 * @param checkpointEvery steps after which a checkpoint is written, into a folder beside the output
 * @param resume the folder of a checkpoint to go on from
 */
public record Course(
        Schedule.Decay decay,
        int accumulate,
        OptionalInt patience,
        OptionalInt checkpointEvery,
        Optional<Path> resume) {
    /** A linear decay, one batch a step, to the end. */
    public static final Course USUAL =
            new Course(Schedule.Decay.LINEAR, 1, OptionalInt.empty(), OptionalInt.empty(), Optional.empty());

    public Course {
        requirePositive("accumulate", OptionalInt.of(accumulate));
        requirePositive("patience", patience);
        requirePositive("checkpoint-every", checkpointEvery);
    }

    private static void requirePositive(String setting, OptionalInt value) {
        if (value.isPresent() && value.getAsInt() < 1) {
            throw new UsageException(setting, "expected at least 1, found " + value.getAsInt());
        }
    }

    /** Where the checkpoints of a run lie that writes a folder. */
    public static Path checkpointOf(Path out) {
        return out.resolveSibling(out.getFileName() + ".checkpoint");
    }
}
