package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.saved.ChangedConfig;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.verify.input.Inputs;
import dev.adapt.verify.runner.ReferenceRunner;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("A classifier on a base without a pooler")
class HeadOfClassTest {
    private static final JsonMapper JSON = new JsonMapper();

    @TempDir
    private Path folder;

    private Path base;

    @BeforeEach
    void prepare() throws IOException {
        base = TinyBert.write(folder.resolve("base"), 1);
    }

    private Cli train(String pooling, Path adapter) throws IOException {
        Path data = Files.writeString(
                folder.resolve("data.tsv"),
                "text\tlabel\n" + "good movie\tyes\nbad movie\tno\nfine book\tyes\npoor book\tno\n".repeat(4));
        return Cli.succeeds(
                "train",
                "--base",
                base,
                "--method",
                "lora",
                "--pooling",
                pooling,
                "--data",
                data,
                "--eval",
                data,
                "--out",
                adapter,
                "--epochs",
                1,
                "--batch-size",
                1,
                "--lr",
                0.02,
                "--head-lr",
                0.1,
                "--device",
                "cpu");
    }

    private Path merge(Path adapter) {
        Path merged = folder.resolve("merged");
        Cli.succeeds("merge", adapter, "--into", base, "--out", merged);
        return merged;
    }

    private static JsonNode config(Path merged) throws IOException {
        return JSON.readTree(Files.readString(merged.resolve(ModelConfig.FILE)));
    }

    @Test
    @DisplayName("has transformers' class with --pooling pooler: the pooler is trained, saved and merged")
    void pooler() throws IOException {
        Path adapter = folder.resolve("adapter");
        train("pooler", adapter);
        assertEquals(
                List.of("classifier", "pooler.dense"),
                Adapter.read(adapter).config().modulesToSave().stream().sorted().toList());
        Path merged = merge(adapter);
        assertEquals(
                "BertForSequenceClassification",
                config(merged).path("architectures").path(0).asText());
        assertFalse(config(merged).has("adapt_pooling"));
        try (Checkpoint whole = Checkpoint.open(merged)) {
            Model model = Model.of(whole);
            // it began with a deviation of 0.02
            float[] dense = FloatTensor.of(model.leaf("pooler.dense.weight")).values();
            assertTrue(IntStream.range(0, dense.length).anyMatch(i -> Math.abs(dense[i]) > 0.15));
            for (Map<String, Tensor> batch :
                    Inputs.random(model.config(), 4, 3, false).batches()) {
                DoubleTensor found = new ReferenceRunner(model).run(batch);
                DoubleTensor states = new ReferenceRunner(model.with(bare(model))).run(batch);
                assertLogits(model, states, found);
            }
        }
    }

    private static ModelConfig bare(Model model) {
        return new ModelConfig(ChangedConfig.bare(model.config().document()));
    }

    /** BertForSequenceClassification, written out: classifier(tanh(pooler(first state))). */
    private static void assertLogits(Model model, DoubleTensor states, DoubleTensor found) {
        float[] dense = FloatTensor.of(model.leaf("pooler.dense.weight")).values();
        float[] shift = FloatTensor.of(model.leaf("pooler.dense.bias")).values();
        float[] classes = FloatTensor.of(model.leaf("classifier.weight")).values();
        float[] bias = FloatTensor.of(model.leaf("classifier.bias")).values();
        int width = TinyBert.HIDDEN;
        int length = (int) states.shape().dim(1);
        for (int row = 0; row < states.shape().dim(0); row++) {
            double[] logits = new double[bias.length];
            for (int i = 0; i < width; i++) {
                double sum = shift[i];
                for (int j = 0; j < width; j++) {
                    sum += dense[i * width + j] * states.values()[row * length * width + j];
                }
                for (int label = 0; label < logits.length; label++) {
                    logits[label] += classes[label * width + i] * Math.tanh(sum);
                }
            }
            for (int label = 0; label < logits.length; label++) {
                assertEquals(logits[label] + bias[label], found.values()[row * logits.length + label], 1e-9);
            }
        }
    }

    @Test
    @DisplayName(
            "reads the mean in a head that is called adapt's own, and claims no class that computes something else")
    void mean() throws IOException {
        Path adapter = folder.resolve("adapter");
        train("mean", adapter);
        assertEquals(
                "mean",
                JSON.readTree(Files.readString(adapter.resolve("summary.json")))
                        .path("own_pooling")
                        .asText());
        Path merged = merge(adapter);
        assertEquals("BertModel", config(merged).path("architectures").path(0).asText());
        assertEquals("mean", config(merged).path("adapt_pooling").asText());
        Path classifier = TinyModel.BERT_CLASSIFIER.write(folder.resolve("classifier"), 2);
        Files.copy(base.resolve("tokenizer.json"), classifier.resolve("tokenizer.json"));
        base = classifier;
        Path other = folder.resolve("other");
        train("mean", other);
        Path again = folder.resolve("again");
        Cli.succeeds("merge", other, "--into", base, "--out", again);
        assertEquals("BertModel", config(again).path("architectures").path(0).asText());
        Cli.succeeds("predict", "--base", again, "good movie");
    }
}
