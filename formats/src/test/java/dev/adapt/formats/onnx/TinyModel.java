package dev.adapt.formats.onnx;

import dev.adapt.formats.architecture.Architectures;
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

/** A checkpoint folder with a BERT of two narrow layers, and a pooler that no head reads. */
public final class TinyModel {
    private static final int HIDDEN = 8;
    private static final String CONFIG = """
            {"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 8, "intermediate_size": 12,
             "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 20, "max_position_embeddings": 10,
             "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-7}
            """;

    private TinyModel() {}

    public static Path write(Path folder) throws IOException {
        Files.createDirectories(folder);
        Path config = Files.writeString(folder.resolve(ModelConfig.FILE), CONFIG);
        Random random = new Random(1);
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        Architectures.of(ModelConfig.read(config))
                .requiredTensors()
                .forEach((name, shape) -> tensors.put(name, random(random, shape)));
        tensors.put("pooler.dense.weight", random(random, Shape.of(HIDDEN, HIDDEN)));
        tensors.put("pooler.dense.bias", random(random, Shape.of(HIDDEN)));
        SafetensorsWriter.write(folder.resolve("model.safetensors"), tensors, Map.of("format", "pt"));
        return folder;
    }

    private static FloatTensor random(Random random, Shape shape) {
        float[] values = new float[(int) shape.elements()];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return new FloatTensor(shape, values);
    }
}
