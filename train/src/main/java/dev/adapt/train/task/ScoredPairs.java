package dev.adapt.train.task;

import dev.adapt.train.data.Dataset;
import dev.adapt.train.data.Example;
import dev.adapt.train.data.Lines;
import dev.adapt.train.data.Text;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Pairs of texts with a score: the higher, the more alike they are.
 *
 * @param columns where they were found
 */
public record ScoredPairs(Dataset.Columns columns, List<Text.Pair> pairs, List<Double> scores) {
    /**
     * Reads a file.
     *
     * @throws dev.adapt.formats.FormatException naming the line of an example that is no pair, or has no number as its label
     */
    public static ScoredPairs read(Path file, Dataset.Columns columns) throws IOException {
        Dataset data = Dataset.read(file, columns);
        List<Text.Pair> pairs = new ArrayList<>();
        for (Example example : data.examples()) {
            if (!(example.text() instanceof Text.Pair pair)) {
                throw Lines.fault(
                        file, example.line(), "has one text, expected two that are compared; name both text columns");
            }
            pairs.add(pair);
        }
        return new ScoredPairs(data.columns(), pairs, Regression.numbers(data));
    }

    /** The largest magnitude of a score, or 1 where all are smaller: cosines lie between -1 and 1. */
    double highest() {
        return scores.stream().mapToDouble(Math::abs).reduce(1, Math::max);
    }
}
