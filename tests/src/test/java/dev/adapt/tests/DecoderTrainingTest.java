package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.verify.runner.ReferenceRunner;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

@DisplayName("Training a decoder minimises the loss that float64 computes, with and without recomputation")
class DecoderTrainingTest {
    private static final int EXAMPLES = 6;
    private static final int LENGTH = 15;
    private static final int VOCABULARY = 40;

    @TempDir
    private Path folder;

    private final long[] ids =
            new Random(3).longs(EXAMPLES * LENGTH, 0, VOCABULARY).toArray();

    /** The losses of the steps of a run. */
    private List<Double> losses(Path base, String out, Object... options) throws IOException {
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < EXAMPLES; i++) {
            long[] own = Arrays.copyOfRange(ids, i * LENGTH, (i + 1) * LENGTH);
            lines.append("{\"input_ids\": ").append(Arrays.toString(own)).append("}\n");
        }
        Path data = Files.writeString(folder.resolve("data.jsonl"), lines);
        List<Object> words = new ArrayList<>(List.of("train", "--base", base, "--task", "causal-lm", "--data", data));
        words.addAll(List.of("--eval", data, "--batch-size", EXAMPLES, "--lr", 0.02, "--epochs", 3));
        words.addAll(List.of("--out", folder.resolve(out)));
        words.addAll(List.of(options));
        Cli.succeeds(words.toArray());
        List<Double> losses = new ArrayList<>();
        for (String line : Files.readAllLines(folder.resolve(out).resolve("training.jsonl"))) {
            JsonNode step = new JsonMapper().readTree(line);
            if (step.has("step")) {
                losses.add(step.path("loss").doubleValue());
            }
        }
        return losses;
    }

    @ParameterizedTest
    @EnumSource(
            value = TinyModel.class,
            names = {"LLAMA", "GEMMA2", "GPT_OSS", "DEEPSEEK"})
    void theFirstLossIsThatOfFloat64(TinyModel tiny) throws IOException {
        Path base = tiny.write(folder.resolve("base"), 3);
        double found = losses(base, "out", "--method", "lora", "--rank", 4).getFirst();
        double expected = 0;
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            Shape shape = Shape.of(EXAMPLES, LENGTH);
            long[] ones = new long[ids.length];
            Arrays.fill(ones, 1);
            DoubleTensor logits = new ReferenceRunner(Model.of(checkpoint))
                    .run(Map.of(
                            "input_ids", new LongTensor(shape, ids), "attention_mask", new LongTensor(shape, ones)));
            for (int i = 0; i < ids.length; i++) {
                if (i % LENGTH > 0) {
                    expected += surprise(logits.values(), (i - 1) * VOCABULARY, (int) ids[i]);
                }
            }
        }
        expected /= EXAMPLES * (LENGTH - 1);
        System.out.printf("%-10s first loss %.9f, float64 %.9f%n", tiny, found, expected);
        assertEquals(expected, found, 1e-6 * expected);
    }

    private static double surprise(double[] logits, int from, int token) {
        double largest = Arrays.stream(logits, from, from + VOCABULARY).max().orElseThrow();
        double sum = Arrays.stream(logits, from, from + VOCABULARY)
                .map(logit -> Math.exp(logit - largest))
                .sum();
        return largest + Math.log(sum) - logits[from + token];
    }

    /** GPT-2 has dropout everywhere; a model that is trained whole needs the gradient of what its first layer is given. */
    @ParameterizedTest
    @CsvSource({
        "GPT2, '--method lora --rank 4 --target c_attn,c_fc'",
        "GPT_OSS, '--method lora --rank 4 --target q_proj'",
        "LLAMA, '--method vera --rank 4 --target q_proj,down_proj'",
        "GPT2, '--method full'"
    })
    void recomputationChangesNothing(TinyModel tiny, String words) throws IOException {
        Path base = tiny.write(folder.resolve("base"), 3);
        Object[] options = words.split(" ");
        List<Double> plain = losses(base, "plain", options);
        Object[] more = Arrays.copyOf(options, options.length + 1, Object[].class);
        more[options.length] = "--recompute";
        List<Double> again = losses(base, "again", more);
        assertTrue(new JsonMapper()
                .readTree(folder.resolve("again").resolve("summary.json").toFile())
                .path("recompute")
                .booleanValue());
        assertTrue(plain.getLast() < plain.getFirst(), plain.toString());
        for (int i = 0; i < plain.size(); i++) {
            assertEquals(plain.get(i), again.get(i), 1e-6 * plain.get(i));
        }
    }
}
