package dev.adapt.formats.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.lowrank.Lora;
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

@DisplayName("BERT in float64")
class BertTest {
    @TempDir
    private Path folder;

    @ParameterizedTest(name = "with {0} pooling")
    @EnumSource(value = Pooling.class, mode = EnumSource.Mode.EXCLUDE, names = "TOKENS")
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

    private static Model withHead(Checkpoint base, Pooling pooling) throws IOException {
        Binding binding = new Binding(base);
        List<Target> targets = binding.targets(
                List.of("query"), Architectures.of(new ModelConfig(base.config().orElseThrow())));
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
