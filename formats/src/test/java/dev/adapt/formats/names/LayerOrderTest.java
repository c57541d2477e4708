package dev.adapt.formats.names;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.tensor.Shape;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("Linear layers come in the order of transformers' classes")
class LayerOrderTest {
    private static TensorNames names(String config, List<String> modules) {
        SequencedMap<String, Shape> tensors = new LinkedHashMap<>();
        modules.forEach(module -> tensors.put(module + ".weight", Shape.of(2, 2)));
        JsonDocument document = JsonDocument.parse(Path.of("config.json"), config.getBytes(StandardCharsets.UTF_8));
        return TensorNames.of(Optional.of(document), tensors);
    }

    /** The modules as {@code named_modules()} of transformers 5.17 lists them. */
    @ParameterizedTest(name = "{0}")
    @CsvSource({
        "llama, layers.0.self_attn.q_proj layers.0.self_attn.o_proj layers.0.mlp.gate_proj layers.2.self_attn.q_proj"
                + " layers.10.self_attn.k_proj",
        "opt, decoder.layers.0.self_attn.k_proj decoder.layers.0.self_attn.v_proj decoder.layers.0.self_attn.q_proj"
                + " decoder.layers.0.self_attn.out_proj decoder.layers.0.fc1 decoder.layers.0.fc2",
        "bart, encoder.layers.0.self_attn.k_proj encoder.layers.0.self_attn.q_proj encoder.layers.0.self_attn.out_proj"
                + " encoder.layers.1.fc1 decoder.layers.0.self_attn.q_proj decoder.layers.0.self_attn.out_proj"
                + " decoder.layers.0.encoder_attn.k_proj decoder.layers.0.encoder_attn.out_proj decoder.layers.0.fc2",
        "t5, encoder.block.1.layer.0.SelfAttention.q encoder.block.1.layer.1.DenseReluDense.wi"
                + " decoder.block.0.layer.0.SelfAttention.o decoder.block.0.layer.1.EncDecAttention.q"
                + " decoder.block.0.layer.2.DenseReluDense.wo",
        "llava, vision_tower.encoder.layers.1.self_attn.k_proj vision_tower.encoder.layers.1.self_attn.q_proj"
                + " vision_tower.encoder.layers.1.self_attn.out_proj layers.0.self_attn.q_proj layers.0.self_attn.k_proj",
        "clip, text_model.encoder.layers.1.mlp.fc2 vision_model.encoder.layers.0.mlp.fc1",
        "phi3, layers.0.self_attn.o_proj layers.0.self_attn.qkv_proj layers.0.mlp.gate_up_proj layers.0.mlp.down_proj"
    })
    void order(String type, String modules) {
        List<String> expected = Arrays.asList(modules.split(" "));
        TensorNames names = names("{\"model_type\": \"" + type + "\"}", expected);
        List<String> sorted = new ArrayList<>(expected);
        Collections.reverse(sorted);
        sorted.sort(
                Comparator.comparing(module -> LayerOrder.place(names, module).orElseThrow()));
        assertEquals(expected, sorted);
    }

    @Test
    @DisplayName("a module or class whose order is not known has no place")
    void unknown() {
        List<String> modules = List.of("layers.0.self_attn.q_proj", "layers.0.mix.in");
        assertTrue(LayerOrder.place(names("{\"model_type\": \"llama\"}", modules), "layers.0.mix.in")
                .isEmpty());
        String nomic = "{\"model_type\": \"nomic_bert\", \"architectures\": [\"NomicBertModel\"]}";
        assertTrue(LayerOrder.place(names(nomic, modules), "layers.0.self_attn.q_proj")
                .isEmpty());
    }
}
