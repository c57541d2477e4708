package dev.adapt.train;

import dev.adapt.formats.graph.Head;
import dev.adapt.train.data.Dataset;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Texts that a caller adds to the folder that training writes. */
public interface Documents {
    /** No texts. */
    Documents NONE = run -> Map.of();

    /** The names that the texts may have. */
    List<String> NAMES = List.of("README.md", "recipe.yaml");

    /**
     * A run that has ended.
     *
     * @param targets names of the modules that were adapted
     * @param found what was found in the data and the base, and not given; a line each
     * @param columns where texts and labels were found, if the data have columns
     * @param head of the model, if it has one
     */
    record Run(
            TrainResult result,
            List<String> targets,
            List<String> found,
            Optional<Dataset.Columns> columns,
            Optional<Head> head) {}

    /** The texts by file name, each of {@link #NAMES}. */
    Map<String, String> of(Run run);
}
