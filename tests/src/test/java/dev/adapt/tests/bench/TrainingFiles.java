package dev.adapt.tests.bench;

import dev.adapt.formats.safetensors.Dtype;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;

/** What a benchmark trains: a Llama of 58 million random float32 weights, kept where it exists, and texts of random tokens. */
record TrainingFiles(Path folder) {
    private static final LlamaShape SHAPE = new LlamaShape(512, 1376, 8, 8, 8, 32_000);

    /** The checkpoint, in {@code base}. */
    Path base() throws IOException {
        Path base = folder.resolve("base");
        if (!Files.exists(base)) {
            Files.createDirectories(base);
            SHAPE.writeBase(base.resolve("model.safetensors"), Dtype.F32);
            Files.writeString(base.resolve("config.json"), """
                    {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": %d,
                     "intermediate_size": %d, "num_hidden_layers": %d, "num_attention_heads": %d, "vocab_size": %d,
                     "num_key_value_heads": %d, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5,
                     "tie_word_embeddings": false, "eos_token_id": 2}
                    """.formatted(
                            SHAPE.hidden(),
                            SHAPE.intermediate(),
                            SHAPE.layers(),
                            SHAPE.heads(),
                            SHAPE.vocabulary(),
                            SHAPE.keyValueHeads()));
        }
        return base;
    }

    /** Writes {@code NAME.jsonl}: examples of {@code length} tokens each. */
    Path texts(String name, int examples, int length, long seed) throws IOException {
        Random random = new Random(seed);
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < examples; i++) {
            List<Integer> ids =
                    random.ints(length, 3, SHAPE.vocabulary()).boxed().toList();
            lines.append("{\"input_ids\": ").append(ids).append("}\n");
        }
        return Files.writeString(folder.resolve(name + ".jsonl"), lines);
    }
}
