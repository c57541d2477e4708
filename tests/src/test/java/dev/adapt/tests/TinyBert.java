package dev.adapt.tests;

import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;

/** A BERT small enough for any test, with random weights and a tokenizer of whole words. */
final class TinyBert {
    static final int HIDDEN = 16;
    static final int INNER = 24;
    private static final String CONFIG = """
            {"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 16, "intermediate_size": 24,
             "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 40, "max_position_embeddings": 32,
             "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12}
            """;
    private static final String TOKENIZER = """
            {"version": "1.0", "added_tokens": [
               {"id": 0, "content": "[PAD]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
               {"id": 1, "content": "[UNK]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
               {"id": 2, "content": "[CLS]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
               {"id": 3, "content": "[SEP]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
             "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
             "post_processor": {"type": "TemplateProcessing",
               "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
               "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
               "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}, "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}},
             "model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3,
               "good": 4, "bad": 5, "fine": 6, "poor": 7, "movie": 8, "book": 9, "a": 10, "the": 11, "very": 12, "not": 13}}}
            """;

    private TinyBert() {}

    /** Writes the checkpoint folder; the seed decides its weights. */
    static Path write(Path folder, long seed) throws IOException {
        Files.createDirectories(folder);
        Files.writeString(folder.resolve(ModelConfig.FILE), CONFIG);
        Files.writeString(folder.resolve("tokenizer.json"), TOKENIZER);
        Architecture architecture = Architecture.of(ModelConfig.read(folder.resolve(ModelConfig.FILE)));
        Random random = new Random(seed);
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        for (String name : architecture.requiredTensors()) {
            Shape shape = shape(name);
            float[] values = new float[(int) shape.elements()];
            boolean norm = name.endsWith("LayerNorm.weight");
            for (int i = 0; i < values.length; i++) {
                values[i] = (norm ? 1 : 0) + 0.2f * (float) random.nextGaussian();
            }
            tensors.put(name, new FloatTensor(shape, values));
        }
        SafetensorsWriter.write(folder.resolve("model.safetensors"), tensors, Map.of("format", "pt"));
        return folder;
    }

    private static Shape shape(String name) {
        String module = name.substring(0, name.lastIndexOf('.'));
        int out = module.endsWith("intermediate.dense") ? INNER : HIDDEN;
        if (name.endsWith(".bias") || module.endsWith("LayerNorm")) {
            return Shape.of(out);
        }
        return switch (module) {
            case "embeddings.word_embeddings" -> Shape.of(40, HIDDEN);
            case "embeddings.position_embeddings" -> Shape.of(32, HIDDEN);
            case "embeddings.token_type_embeddings" -> Shape.of(2, HIDDEN);
            default -> Shape.of(out, module.endsWith("output.dense") && !module.contains("attention") ? INNER : HIDDEN);
        };
    }
}
