package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.merge.Merger;
import dev.adapt.train.Learner;
import dev.adapt.train.Progress;
import dev.adapt.train.TrainConfig;
import dev.adapt.train.TrainResult;
import dev.adapt.train.Trainer;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.device.Devices;
import dev.adapt.train.metric.Metric;
import dev.adapt.train.task.TokenClassification;
import dev.adapt.verify.input.Inputs;
import dev.adapt.verify.runner.ReferenceRunner;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("Training to classify tokens")
class TokenClassificationTest {
    private static final String WORDS = """
            the O
            good B-NAME
            movie I-NAME

            a O
            bad B-NAME
            book I-NAME

            not O
            very O
            movie B-NAME

            """;

    @TempDir
    private Path folder;

    private Path base;

    @BeforeEach
    void prepare() throws IOException {
        base = TinyBert.write(folder.resolve("base"), 1);
    }

    @Test
    @DisplayName("learns entities, and merges into transformers' class with the same logits")
    void learnsAndMerges() throws IOException {
        Path data = Files.writeString(folder.resolve("words.txt"), "-DOCSTART- O\n\n" + WORDS.repeat(8));
        Path out = folder.resolve("adapter");
        TrainResult result = train(data, data, out);
        assertEquals(1, result.kept().of(Metric.ENTITY_F1), 0.05, result.kept()::text);
        Path merged = folder.resolve("merged");
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            BoundAdapter adapter = new Binding(checkpoint).bind(Adapter.read(out), false);
            assertEquals(
                    List.of("B-NAME", "I-NAME", "O"),
                    adapter.head().orElseThrow().labels());
            new Merger(checkpoint, adapter, 2).merge(merged);
            Model beside = Model.of(checkpoint, adapter);
            try (Checkpoint whole = Checkpoint.open(merged)) {
                Model model = Model.of(whole);
                assertTrue(Files.readString(merged.resolve(Checkpoint.CONFIG)).contains("BertForTokenClassification"));
                assertEquals(
                        List.of("batch", "sequence", "3"), model.architecture().outputAxes());
                for (Map<String, Tensor> batch :
                        Inputs.random(model.config(), 4, 3, false).batches()) {
                    DoubleTensor expected = new ReferenceRunner(beside).run(batch);
                    assertTrue(Engines.difference(expected, new ReferenceRunner(model).run(batch)) < 1e-4);
                }
            }
        }
    }

    @Test
    @DisplayName("reads lists of words and labels from JSONL")
    void readsJson() throws IOException {
        String line = "{\"tokens\": [\"the\", \"good\", \"movie\"], \"ner_tags\": [\"O\", \"B-NAME\", \"I-NAME\"]}\n";
        Path data = Files.writeString(folder.resolve("words.jsonl"), line.repeat(6));
        TrainResult result = train(data, data, folder.resolve("adapter"));
        assertEquals(1, result.kept().of(Metric.ENTITY_F1), 0.05, result.kept()::text);
    }

    @Test
    @DisplayName("names the line of a word without a label, and of a label that training does not have")
    void refuses() throws IOException {
        Path data = Files.writeString(folder.resolve("words.txt"), WORDS);
        Path lacking = Files.writeString(folder.resolve("lacking.txt"), "the O\ngood\n");
        Path other = Files.writeString(folder.resolve("other.txt"), "the O\n\ngood B-PLACE\n");
        FormatException first = assertThrows(FormatException.class, () -> train(data, lacking, folder.resolve("a")));
        assertTrue(first.getMessage().contains("line 2"), first.getMessage());
        FormatException second = assertThrows(FormatException.class, () -> train(data, other, folder.resolve("b")));
        assertTrue(
                second.getMessage().contains("line 3") && second.getMessage().contains("B-PLACE"), second.getMessage());
    }

    private TrainResult train(Path data, Path eval, Path out) throws IOException {
        TrainConfig config = new TrainConfig(
                base,
                new Learner.Adapter(new Lora(4, 8, 0)),
                List.of(),
                new TokenClassification(Dataset.Columns.UNKNOWN),
                data,
                eval,
                out,
                Optional.empty(),
                12,
                4,
                0.02,
                0.02,
                0,
                0.1,
                1,
                32,
                false,
                Optional.empty(),
                3,
                Devices.CPU);
        return Trainer.train(config, Progress.SILENT, () -> false).orElseThrow();
    }
}
