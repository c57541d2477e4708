package dev.adapt.formats.names;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.tensor.Shape;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("Names of a checkpoint's tensors")
class TensorNamesTest {
    private final SequencedMap<String, Shape> tensors = new LinkedHashMap<>();

    private void has(String name, long... dims) {
        tensors.put(name, Shape.of(dims));
    }

    private TensorNames names(String config) {
        return TensorNames.of(
                config.isEmpty()
                        ? Optional.empty()
                        : Optional.of(
                                JsonDocument.parse(Path.of("config.json"), config.getBytes(StandardCharsets.UTF_8))),
                tensors);
    }

    @ParameterizedTest(name = "{1} of a {0}")
    @CsvSource({
        "bert, bert.encoder.layer.0.output.LayerNorm.gamma, encoder.layer.0.output.LayerNorm.weight",
        "gpt2, transformer.h.0.attn.c_attn, h.0.attn.c_attn",
        "gemma3, language_model.model.layers.0.mlp.up_proj, layers.0.mlp.up_proj",
        "gemma3, model.language_model.layers.0.mlp.up_proj, layers.0.mlp.up_proj",
        "gemma3, model.layers.0.mlp.up_proj, layers.0.mlp.up_proj",
        "gemma3, model.vision_tower.vision_model.head.probe, vision_tower.head.probe",
        "vit, vit.layers.3.attention.q_proj, encoder.layer.3.attention.attention.query",
        "vit, vit.layers.3.mlp.fc2.bias, encoder.layer.3.output.dense.bias",
        "vit_mae, vit.layers.3.attention.o_proj.bias, encoder.layer.3.attention.output.dense.bias",
        "qwen2_audio, language_model.model.model.layers.0.mlp.up_proj, layers.0.mlp.up_proj",
        "mixtral, model.layers.1.block_sparse_moe.experts.2.w3, layers.1.mlp.experts.2.up_proj",
        "never_heard_of, blocks.0.mix.weight, blocks.0.mix.weight"
    })
    @DisplayName("all spellings have one canonical form")
    void canonical(String type, String spelled, String canonical) {
        has("a.weight", 2, 3);
        assertEquals(canonical, names("{\"model_type\": \"" + type + "\"}").canonical(spelled));
    }

    @Test
    @DisplayName("names that would meet stand as they are")
    void collision() {
        has("model.a.weight", 2, 3);
        has("a.weight", 2, 3);
        TensorNames names = names("");
        assertEquals("model.a.weight", names.canonical("model.a.weight"));
        assertEquals(Optional.of("a.weight"), names.find("a.weight"));
    }

    @Test
    @DisplayName("biases tell which weights are stored [in, out], of a square one those of modules of its kind")
    void orientation() {
        has("h.0.attn.c_attn.weight", 4, 12);
        has("h.0.attn.c_attn.bias", 12);
        has("h.0.attn.c_proj.weight", 4, 4);
        has("h.0.attn.c_proj.bias", 4);
        has("h.0.attn.v_proj.weight", 4, 4);
        has("h.0.attn.v_proj.bias", 4);
        has("wte.weight", 9, 4);
        TensorNames names = names("");
        assertEquals(Optional.of(true), names.transposed("h.0.attn.c_proj"));
        assertEquals(Optional.empty(), names.transposed("h.0.attn.v_proj"));
        assertEquals(Optional.empty(), names.transposed("wte"));
        Place place = names.places("h.0.attn.c_attn").getFirst();
        assertEquals(12, place.out());
        assertEquals(4, place.in());
        assertEquals(new Storage.Embedding(), names.places("wte").getFirst().storage());
    }

    @Test
    @DisplayName("an expert's module lies in a stack of experts, below those before it")
    void experts() {
        has("model.layers.0.mlp.experts.gate_up_proj", 4, 12, 8);
        has("model.layers.0.mlp.experts.down_proj", 4, 8, 6);
        TensorNames names = names("{\"model_type\": \"mixtral\"}");
        String module = names.canonical("model.layers.0.block_sparse_moe.experts.2.w3");
        Place up = names.places(module).getFirst();
        assertEquals("model.layers.0.mlp.experts.gate_up_proj", up.tensor());
        assertEquals(new Storage.Expert(5, 8, false), up.storage());
        assertEquals(6, up.out());
        assertEquals(8, up.in());
        List<Place> down = names.places("layers.0.mlp.experts.down_proj");
        assertEquals(4, down.size());
        assertEquals(8, down.getLast().out());
        assertEquals(6, down.getLast().in());
    }

    @Test
    @DisplayName("transposed stacks of experts are told by the family, and by their biases")
    void transposedExperts() {
        has("model.layers.0.mlp.experts.gate_up_proj", 4, 8, 12);
        has("model.layers.0.mlp.experts.gate_up_proj_bias", 4, 12);
        for (String config : List.of("{\"model_type\": \"gpt_oss\"}", "{\"model_type\": \"never_heard_of\"}")) {
            Place first =
                    names(config).places("layers.0.mlp.experts.gate_up_proj").getFirst();
            assertEquals(new Storage.Expert(0, 4, true), first.storage());
            assertEquals(12, first.out());
            assertEquals(8, first.in());
        }
    }

    @Test
    @DisplayName("ties come from config.json, from its text_config, or from what transformers takes for granted")
    void ties() {
        has("model.embed_tokens.weight", 9, 4);
        assertTrue(names("{\"model_type\": \"llama\", \"tie_word_embeddings\": true}")
                .isTied());
        assertFalse(names("{\"model_type\": \"llama\"}").isTied());
        assertTrue(names("{\"model_type\": \"gemma\"}").isTied());
        assertTrue(names("").isTied());
        assertFalse(names("{\"model_type\": \"x\", \"text_config\": {\"tie_word_embeddings\": false}}")
                .isTied());
        assertFalse(names("{\"model_type\": \"gemma\", \"architectures\": [\"GemmaForSequenceClassification\"]}")
                .isTied());
    }

    @Test
    @DisplayName("one prefix for another must place all modules, in lists of one name and under one number")
    void spelling() {
        has("tower.layers.0.q.weight", 4, 4);
        has("tower.layers.1.q.weight", 4, 4);
        has("other.blocks.0.q.weight", 4, 4);
        TensorNames names = names("");
        assertEquals(
                "tower.layers.1.q",
                Spelling.of(names, List.of("mine.layers.0.q", "mine.layers.1.q"), (module, canonical) -> true)
                        .orElseThrow()
                        .apply("mine.layers.1.q"));
        for (String foreign : List.of("mine.blobs.0.q", "mine.layers.7.q", "q")) {
            assertEquals(Optional.empty(), Spelling.of(names, List.of(foreign), (module, canonical) -> true));
        }
    }
}
