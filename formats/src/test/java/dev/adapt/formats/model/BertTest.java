package dev.adapt.formats.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.adapter.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("BERT in float64")
class BertTest {
    @TempDir
    private Path folder;

    @ParameterizedTest(name = "with {0} pooling")
    @EnumSource(Pooling.class)
    void paddingChangesNoLogit(Pooling pooling) throws IOException {
        try (Checkpoint base = Checkpoint.open(TinyBert.write(folder, 3))) {
            Model model = withHead(base, pooling);
            Map<String, LongTensor> plain = Reference.inputs(2, 5);
            assertEquals(Shape.of(2, 3), Reference.run(model, plain).shape());
            assertArrayEquals(
                    Reference.run(model, plain).values(),
                    Reference.run(model, padded(plain, 4)).values(),
                    1e-15);
        }
    }

    @Test
    void aHeadChangesWhatComesOut() throws IOException {
        try (Checkpoint base = Checkpoint.open(TinyBert.write(folder, 3))) {
            Model model = Model.of(base);
            assertEquals("last_hidden_state", model.architecture().outputName());
            assertEquals(
                    Shape.of(2, 5, TinyBert.HIDDEN),
                    Reference.run(model, Reference.inputs(2, 5)).shape());
            assertEquals("logits", withHead(base, Pooling.CLS).architecture().outputName());
        }
    }

    @Test
    void aHeadOnAPoolerThatTheBaseLacksIsRefused() throws IOException {
        try (Checkpoint base = Checkpoint.open(TinyBert.write(folder, 3, false))) {
            assertEquals("logits", withHead(base, Pooling.MEAN).architecture().outputName());
            FormatException thrown = assertThrows(FormatException.class, () -> withHead(base, Pooling.POOLER));
            assertTrue(thrown.getMessage().contains("pooler.dense.weight"), thrown::getMessage);
        }
    }

    /** The base, as transformers computes it in float32. */
    @Test
    void isTransformersBert() throws IOException {
        try (Checkpoint base = Checkpoint.open(fixtures().resolve("base"))) {
            assertLogits("base.logits", Model.of(base));
        }
    }

    /** The base with an adapter beside it, as PEFT computes it in float32. */
    @ParameterizedTest
    @ValueSource(strings = {"lora", "lora_rs_all", "lora_pattern", "vera_seed", "vera_saved"})
    void isPeftsWithAnAdapterUnmerged(String name) throws IOException {
        Path fixtures = fixtures();
        try (Checkpoint base = Checkpoint.open(fixtures.resolve("base"))) {
            BoundAdapter adapter = new Binding(base).bind(Adapter.read(fixtures.resolve(name)), false);
            assertLogits(name + ".adapter_logits", Model.of(base, adapter));
        }
    }

    private static void assertLogits(String name, Model model) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(fixtures().resolve("io.safetensors"))) {
            Map<String, LongTensor> inputs = new LinkedHashMap<>();
            for (String input : List.of("input_ids", "attention_mask")) {
                inputs.put(
                        input,
                        new LongTensor(
                                file.tensor("in." + input).shape(),
                                file.tensor("in." + input).toLongs()));
            }
            DoubleTensor logits = Reference.run(model, inputs);
            DoubleTensor expected = DoubleTensor.of(file.tensor(name));
            assertEquals(expected.shape(), logits.shape());
            assertArrayEquals(expected.values(), logits.values(), 5e-6);
        }
    }

    private static Path fixtures() {
        String fixtures = System.getenv("ADAPT_FIXTURES");
        assumeTrue(fixtures != null, "ADAPT_FIXTURES does not name the folder of reference cases");
        return Path.of(fixtures, "bert");
    }

    private static Model withHead(Checkpoint base, Pooling pooling) throws IOException {
        Binding binding = new Binding(base);
        List<Target> targets = binding.targets(
                List.of("query"), Architecture.of(new ModelConfig(base.config().orElseThrow())));
        Head head = new Head(pooling, TinyBert.HEAD.labels());
        BoundAdapter adapter = BoundAdapter.fresh(
                new Lora(2, 2, 0),
                targets,
                binding::weight,
                TinyBert.head(1),
                Optional.of(head),
                Map.of(),
                new Random(1));
        return Model.of(base, adapter);
    }

    /** The same sequences with {@code more} masked tokens on their right. */
    private static Map<String, LongTensor> padded(Map<String, LongTensor> inputs, int more) {
        Map<String, LongTensor> padded = new LinkedHashMap<>();
        inputs.forEach((name, tensor) -> {
            int batch = (int) tensor.shape().dim(0);
            int length = (int) tensor.shape().dim(1);
            long[] values = new long[batch * (length + more)];
            Arrays.fill(values, name.equals("attention_mask") ? 0 : 11);
            for (int row = 0; row < batch; row++) {
                System.arraycopy(tensor.values(), row * length, values, row * (length + more), length);
            }
            padded.put(name, new LongTensor(Shape.of(batch, length + more), values));
        });
        return padded;
    }
}
