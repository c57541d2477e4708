package dev.adapt.verify.input;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class InputsTest {
    private static ModelConfig config(int vocabulary, int positions) {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("model_type", "bert").put("vocab_size", vocabulary).put("max_position_embeddings", positions);
        json.put("hidden_size", 4)
                .put("num_attention_heads", 1)
                .put("num_hidden_layers", 1)
                .put("intermediate_size", 4);
        return new ModelConfig(new JsonDocument(Path.of("config.json"), json));
    }

    private static long[] values(Map<String, Tensor> batch, String name) {
        return ((LongTensor) batch.get(name)).values();
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 5, 13, 64, 207})
    void everyIdAndLengthFitsTheModel(int positions) {
        Inputs inputs = Inputs.random(config(29, positions), 20, 7, true);
        long sequences = 0;
        long padding = 0;
        long longest = 0;
        long whole = 0;
        boolean left = false;
        for (Map<String, Tensor> batch : inputs.batches()) {
            long[] ids = values(batch, "input_ids");
            long[] mask = values(batch, "attention_mask");
            long[] types = values(batch, "token_type_ids");
            int length = (int) batch.get("input_ids").shape().dim(1);
            sequences += batch.get("input_ids").shape().dim(0);
            longest = Math.max(longest, length);
            for (int i = 0; i < ids.length; i++) {
                assertTrue(ids[i] >= 0 && ids[i] < 29);
                assertTrue(mask[i] == 1 || (mask[i] == 0 && ids[i] == 0 && types[i] == 0));
                padding += 1 - mask[i];
            }
        }
        // no sequence is all padding, and padding stands on one side
        for (Map<String, Tensor> batch : inputs.batches()) {
            long[] mask = values(batch, "attention_mask");
            int length = (int) batch.get("input_ids").shape().dim(1);
            for (int row = 0; row < mask.length; row += length) {
                long[] own = Arrays.copyOfRange(mask, row, row + length);
                long kept = Arrays.stream(own).sum();
                long turns = IntStream.range(1, length)
                        .filter(i -> own[i] != own[i - 1])
                        .count();
                assertTrue(kept > 0 && turns <= 1, () -> Arrays.toString(own));
                left |= own[0] == 0;
                whole += kept == positions ? 1 : 0;
            }
        }
        // 20, three rows for each side of padding, and one of the full length
        assertEquals(27, sequences);
        assertTrue(whole > 0, "every position is run");
        assertTrue(left || positions == 1, "some padding is on the left");
        assertEquals(Optional.of(new Inputs.Lengths(positions, positions)), inputs.lengths());
        assertEquals(OptionalLong.of(7), inputs.seed());
        assertEquals(positions, longest);
        assertEquals(1, inputs.batches().getFirst().get("input_ids").shape().elements());
        assertTrue(positions == 1 || padding > 0);
    }

    @Test
    void theSeedDecides() {
        List<Map<String, Tensor>> first =
                Inputs.random(config(1000, 64), 9, 1, false).batches();
        List<Map<String, Tensor>> same =
                Inputs.random(config(1000, 64), 9, 1, false).batches();
        List<Map<String, Tensor>> other =
                Inputs.random(config(1000, 64), 9, 2, false).batches();
        for (int i = 0; i < first.size(); i++) {
            assertArrayEquals(values(first.get(i), "input_ids"), values(same.get(i), "input_ids"));
            assertEquals(
                    0, Arrays.stream(values(first.get(i), "token_type_ids")).sum());
        }
        assertTrue(values(first.get(0), "input_ids")[0] != values(other.get(0), "input_ids")[0]);
    }

    @Test
    void imagesAreOfTheModelsSize() {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("model_type", "vit").put("image_size", 8).put("patch_size", 4).put("num_channels", 2);
        json.put("hidden_size", 4)
                .put("num_attention_heads", 1)
                .put("num_hidden_layers", 1)
                .put("intermediate_size", 4);
        Inputs inputs = Inputs.random(new ModelConfig(new JsonDocument(Path.of("config.json"), json)), 9, 3, true);
        long images = 0;
        for (Map<String, Tensor> batch : inputs.batches()) {
            Shape shape = batch.get("pixel_values").shape();
            images += shape.dim(0);
            assertEquals(Shape.of(shape.dim(0), 2, 8, 8), shape);
        }
        assertEquals(9, images);
    }

    @Test
    void aConfigWithoutAVocabularyHasThatOfItsClass() {
        ModelConfig lacking = config(29, 5);
        lacking.document().json().remove("vocab_size");
        ModelConfig complete = config(30522, 5);
        assertArrayEquals(
                values(Inputs.random(complete, 1, 0, false).batches().getFirst(), "input_ids"),
                values(Inputs.random(lacking, 1, 0, false).batches().getFirst(), "input_ids"));
    }
}
