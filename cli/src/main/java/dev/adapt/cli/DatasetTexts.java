package dev.adapt.cli;

import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Tokens;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.train.Dataset;
import dev.adapt.train.TextInputs;
import dev.adapt.verify.form.Engine;
import dev.adapt.verify.suite.GateRun;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** The texts of a data file as the inputs of a verification. */
record DatasetTexts(Dataset data) implements Engine.Texts {
    private static final int BATCH = 4;
    private static final int LONGEST = 128;

    @Override
    public String description(int count, int longest) {
        int texts = Math.min(count, data.examples().size());
        return "the first " + texts + " texts of " + data.file() + ", cut to " + longest + " tokens";
    }

    @Override
    public List<Map<String, Tensor>> batches(Path base, ModelConfig config, int count, int longest) throws IOException {
        return TextInputs.of(data, base, config, count, BATCH, longest);
    }

    /** A file's labelled texts, for a gate. */
    static List<GateRun.Labelled> labelled(Path file, Path base, Model model) throws IOException {
        Dataset data = Dataset.read(file, Dataset.Columns.UNKNOWN);
        int longest = model.architecture().tokens().map(Tokens::longest).orElse(LONGEST);
        return TextInputs.labelled(data, base, model.config(), BATCH, Math.min(LONGEST, longest)).stream()
                .map(batch -> new GateRun.Labelled(batch.inputs(), batch.classes()))
                .toList();
    }
}
