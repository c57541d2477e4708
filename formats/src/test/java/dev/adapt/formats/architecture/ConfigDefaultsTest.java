package dev.adapt.formats.architecture;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.architecture.decoder.Decoder;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.layer.attention.Attention;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("Fields that a config lacks, or has twice, mean what transformers 5 takes them for")
class ConfigDefaultsTest {
    private static Decoder decoder(String type, String more) {
        String json = ("{'model_type': '" + type + "', 'vocab_size': 8, 'hidden_size': 64, 'num_hidden_layers': 4,"
                        + " 'num_attention_heads': 1, 'num_key_value_heads': 1, 'intermediate_size': 8,"
                        + " 'max_position_embeddings': 16" + more
                        + "}")
                .replace('\'', '"');
        return (Decoder) Architectures.of(
                new ModelConfig(JsonDocument.parse(Path.of("config.json"), json.getBytes(StandardCharsets.UTF_8))));
    }

    private static Attention attention(Decoder decoder, int layer) {
        return (Attention) decoder.spec().layers().get(layer).attention();
    }

    @Test
    void gemma2CapsUnlessNull() {
        Decoder usual = decoder("gemma2", "");
        assertEquals(Optional.of(30.0), usual.spec().logits().cap());
        assertEquals(Optional.of(50.0), attention(usual, 0).cap());
        Decoder none = decoder("gemma2", ", 'final_logit_softcapping': null, 'attn_logit_softcapping': null");
        assertTrue(
                none.spec().logits().cap().isEmpty() && attention(none, 0).cap().isEmpty());
    }

    @Test
    void gemma3HasNoCapOfScores() {
        assertTrue(attention(decoder("gemma3_text", ", 'attn_logit_softcapping': 3.0"), 0)
                .cap()
                .isEmpty());
    }

    @Test
    void theOldFieldOfRopeGoesFirst() {
        String old = ", 'rope_scaling': {'rope_type': 'linear', 'factor': 3.0}";
        String unknown = ", 'rope_parameters': {'rope_type': 'unknown'}";
        assertTrue(attention(decoder("llama", old + unknown), 0).rope().isPresent());
        assertThrows(FormatException.class, () -> decoder("llama", unknown));
    }

    @Test
    void smollm3SeesAWindowWhereNothingTurns() {
        Decoder smol = decoder("smollm3", ", 'use_sliding_window': true, 'sliding_window': 8");
        assertEquals(
                List.of(0, 0, 0, 8),
                List.of(0, 1, 2, 3).stream()
                        .map(layer -> attention(smol, layer).window().orElse(0))
                        .toList());
    }

    @Test
    void aMissingFieldIsThatOfTheTypesClass() {
        Attention qwen = attention(decoder("qwen3", ""), 0);
        assertEquals(128, qwen.queries().width());
        assertEquals(Optional.empty(), qwen.window());
        assertEquals(Optional.of(4096), attention(decoder("mistral", ""), 0).window());
        assertEquals(
                Optional.empty(),
                attention(decoder("mistral", ", 'sliding_window': null"), 0).window());
        assertTrue(attention(decoder("glm4", ""), 0)
                .projections()
                .layers()
                .getFirst()
                .biased());
    }

    @ParameterizedTest
    @CsvSource({"llama, 64", "qwen2, 64", "phi, 32", "phi3, 32", "glm4, 32"})
    void onlySomeClassesTurnPartOfAHead(String type, int turning) {
        String part = ", 'partial_rotary_factor': 0.5, 'head_dim': 64";
        assertEquals(
                turning, attention(decoder(type, part), 0).rope().orElseThrow().width());
        String scaled = part + ", 'rope_scaling': {'rope_type': 'linear', 'factor': 2.0}";
        if (turning == 64) {
            assertThrows(FormatException.class, () -> decoder(type, scaled));
        }
    }

    @Test
    void expertsAreChosenFromKeptGroups() {
        String groups = ", 'n_routed_experts': 8, 'n_group': 4, 'topk_group': 1, 'first_k_dense_replace': 0";
        assertThrows(FormatException.class, () -> decoder("deepseek_v3", groups + ", 'num_experts_per_tok': 3"));
        decoder("deepseek_v3", groups + ", 'num_experts_per_tok': 2");
    }

    @Test
    void layerTypesSayWhichLayersOfSmollm3HaveAWindow() {
        String types = ", 'layer_types': ['sliding_attention', 'full_attention', 'full_attention', 'full_attention']";
        Decoder smol = decoder("smollm3", types + ", 'use_sliding_window': false, 'sliding_window': 8");
        assertEquals(Optional.of(8), attention(smol, 0).window());
        assertEquals(Optional.empty(), attention(smol, 1).window());
        assertThrows(FormatException.class, () -> decoder("smollm3", types));
        assertThrows(FormatException.class, () -> decoder("qwen2", types + ", 'sliding_window': 8"));
    }

    @Test
    void tokenTypesAreAnInputWhereThereAreSeveral() {
        assertEquals(3, encoder("roberta", 2).inputs().size());
        assertEquals(2, encoder("roberta", 1).inputs().size());
        assertEquals(3, encoder("bert", 1).inputs().size());
    }

    private static Architecture encoder(String type, int tokenTypes) {
        String json = ("{'model_type': '" + type + "', 'type_vocab_size': " + tokenTypes + "}").replace('\'', '"');
        return Architectures.of(
                new ModelConfig(JsonDocument.parse(Path.of("config.json"), json.getBytes(StandardCharsets.UTF_8))));
    }

    @Test
    void bloomThatLeavesBiasesOutIsRefused() {
        assertThrows(FormatException.class, () -> decoder("bloom", ", 'pretraining_tp': 2, 'slow_but_exact': true"));
    }
}
