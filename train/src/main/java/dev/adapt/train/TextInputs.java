package dev.adapt.train;

import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.tensor.Tensor;
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
        Source source = new Source(base, config, Architecture.of(config), maxLength);
        Encoded encoded = Encoded.of(first, Encoded.classes(first.classes(first.labels())), source);
        return encoded.byLength(batchSize, Integer.MAX_VALUE).stream()
                .map(indices -> encoded.batch(indices).inputs())
                .toList();
    }
}
