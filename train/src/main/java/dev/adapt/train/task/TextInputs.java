package dev.adapt.train.task;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.data.Example;
import dev.adapt.train.data.Source;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** A data set's texts as a model's inputs. */
public final class TextInputs {
    private TextInputs() {}

    /**
     * Tokenizes the first texts of a data set, as training does, into batches of like length, padded on the right.
     *
     * @param base the checkpoint that is to read them, with tokenizer.json
     * @param count how many texts, if there are so many
     * @param maxLength tokens that a text is cut off after
     * @return for each batch its inputs by name
     */
    public static List<Map<String, Tensor>> of(
            Dataset data, Path base, ModelConfig config, int count, int batchSize, int maxLength) throws IOException {
        Dataset first = new Dataset(
                data.file(),
                data.columns(),
                data.examples().subList(0, Math.min(count, data.examples().size())));
        Source source = new Source(base, config, Architectures.of(config), maxLength);
        Encoded encoded = Encoded.of(first, Encoded.classes(first.classes(first.labels())), source);
        return encoded.byLength(batchSize, Integer.MAX_VALUE).stream()
                .map(indices -> encoded.batch(indices).inputs())
                .toList();
    }

    /**
     * A batch of labelled texts.
     *
     * @param classes the index of each row's label
     */
    @SuppressWarnings("ArrayRecordComponent")
    public record Labelled(Map<String, Tensor> inputs, int[] classes) {}

    /**
     * Tokenizes all labelled texts of a data set in the same way.
     *
     * @param config of a classifier; its labels are those of the data, by name or by number
     * @throws FormatException if the data have a label that the classifier has not
     */
    public static List<Labelled> labelled(Dataset data, Path base, ModelConfig config, int batchSize, int maxLength)
            throws IOException {
        List<String> labels = Architectures.of(config)
                .head()
                .orElseThrow(() -> new FormatException(base, "is no classifier, so that no labels can be compared"))
                .labels();
        List<Integer> classes =
                data.examples().stream().map(own -> index(data, labels, own)).toList();
        Source source = new Source(base, config, Architectures.of(config), maxLength);
        Encoded encoded = Encoded.of(data, Encoded.classes(classes), source);
        return encoded.byLength(batchSize, Integer.MAX_VALUE).stream()
                .map(indices -> new Labelled(
                        encoded.batch(indices).inputs(),
                        indices.stream().mapToInt(classes::get).toArray()))
                .toList();
    }

    private static int index(Dataset data, List<String> labels, Example example) {
        int named = labels.indexOf(example.label());
        if (named >= 0) {
            return named;
        }
        for (int i = 0; i < labels.size(); i++) {
            if (example.label().equals(Integer.toString(i))) {
                return i;
            }
        }
        throw new FormatException(
                data.file(),
                "line " + example.line(),
                "has the label \"" + example.label() + "\", the model has " + String.join(", ", labels));
    }
}
