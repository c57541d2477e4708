package dev.adapt.train;

import dev.adapt.formats.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A data set's texts as a model's inputs. */
public final class TextInputs {
    private TextInputs() {}

    /**
     * Tokenizes the first texts of a data set, as training does, into batches of like length, padded on the right.
     *
     * @param tokenizer a checkpoint folder with tokenizer.json
     * @param count how many texts, if there are so many
     * @param maxLength tokens that a text is cut off after
     * @return for each batch its inputs by name
     */
    public static List<Map<String, Tensor>> of(Dataset data, Path tokenizer, int count, int batchSize, int maxLength)
            throws IOException {
        Dataset first = new Dataset(
                data.file(),
                data.columns(),
                data.examples().subList(0, Math.min(count, data.examples().size())));
        List<Map<String, Tensor>> batches = new ArrayList<>();
        for (Encoded.Batch batch :
                Encoded.of(first, first.labels(), tokenizer, maxLength).byLength(batchSize)) {
            batches.add(new LinkedHashMap<>(batch.inputs()));
        }
        return batches;
    }
}
