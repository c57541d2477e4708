package dev.adapt.cli;

import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.train.Dataset;
import dev.adapt.train.TextInputs;
import dev.adapt.verify.form.Engine;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** The texts of a data file as the inputs of a verification. */
record DatasetTexts(Dataset data) implements Engine.Texts {
    private static final int BATCH = 4;

    @Override
    public String description(int count, int longest) {
        int texts = Math.min(count, data.examples().size());
        return "the first " + texts + " texts of " + data.file() + ", cut to " + longest + " tokens";
    }

    @Override
    public List<Map<String, Tensor>> batches(Path base, ModelConfig config, int count, int longest)
            throws IOException {
        return TextInputs.of(data, base, config, count, BATCH, longest);
    }
}
