package dev.adapt.tests.bench;

import dev.adapt.formats.safetensors.Dtype;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;

/** What a benchmark trains: a Llama of random float32 weights, and texts of random tokens. Files that exist are kept. */
record TrainingFiles(Path folder, LlamaShape shape) {
    /** The checkpoint, in {@code base}. */
    Path base() throws IOException {
        Path base = folder.resolve("base");
        if (!Files.exists(base)) {
            Files.createDirectories(base);
            shape.writeBase(base.resolve("model.safetensors"), Dtype.F32);
            Files.writeString(base.resolve("config.json"), """
                    {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": %d,
                     "intermediate_size": %d, "num_hidden_layers": %d, "num_attention_heads": %d, "vocab_size": %d,
                     "num_key_value_heads": %d, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5,
                     "tie_word_embeddings": false, "eos_token_id": 2}
                    """.formatted(
                            shape.hidden(),
                            shape.intermediate(),
                            shape.layers(),
                            shape.heads(),
                            shape.vocabulary(),
                            shape.keyValueHeads()));
        }
        return base;
    }

    /** Writes {@code NAME.jsonl}: examples of {@code length} tokens each. */
    Path texts(String name, int examples, int length, long seed) throws IOException {
        Random random = new Random(seed);
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < examples; i++) {
            List<Integer> ids =
                    random.ints(length, 3, shape.vocabulary()).boxed().toList();
            lines.append("{\"input_ids\": ").append(ids).append("}\n");
        }
        return Files.writeString(folder.resolve(name + ".jsonl"), lines);
    }
}
