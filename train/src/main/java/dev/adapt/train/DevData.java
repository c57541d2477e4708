package dev.adapt.train;

import dev.adapt.formats.UsageException;
import java.nio.file.Path;
import java.util.Optional;

/** What a run is evaluated on after each epoch. */
public sealed interface DevData {
    /** A data file, or a folder of images. */
    record Held(Path path) implements DevData {
        @Override
        public String toString() {
            return path.toString();
        }
    }

    /** A share of the training data, which is then not learned: of each class the same, drawn by the seed. */
    record Share(double share) implements DevData {
        public Share {
            if (!(share > 0 && share < 1)) {
                throw new UsageException(
                        "eval", "expected more than 0% and less than 100%, found " + 100 * share + "%");
            }
        }

        @Override
        public String toString() {
            return 100 * share + "%";
        }
    }

    /** Nothing: the last epoch is kept. */
    record None() implements DevData {
        @Override
        public String toString() {
            return "none";
        }
    }

    /** The file, where it is one. */
    default Optional<Path> file() {
        return this instanceof Held(Path path) ? Optional.of(path) : Optional.empty();
    }
}
