package dev.adapt.formats.model;

import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/** A BERT of random weights: 2 layers, hidden 12, inner 20, 29 tokens, 17 positions, and a pooler. */
public final class TinyBert {
    public static final int HIDDEN = 12;
    public static final int INNER = 20;
    static final int VOCABULARY = 29;
    static final Head HEAD = new Head(Pooling.MEAN, List.of("no", "\"yes\"", "ä"));
    private static final String CONFIG = """
            {"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 12, "intermediate_size": 20,
             "num_hidden_layers": 2, "num_attention_heads": 3, "vocab_size": 29, "max_position_embeddings": 17,
             "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12}
            """;

    private TinyBert() {}

    /** Writes the checkpoint folder; the seed decides its weights. */
    public static Path write(Path folder, long seed) throws IOException {
        return write(folder, seed, true);
    }

    /** The same, perhaps without its pooler. */
    public static Path write(Path folder, long seed, boolean pooler) throws IOException {
        Files.createDirectories(folder);
        Path config = Files.writeString(folder.resolve(ModelConfig.FILE), CONFIG);
        Random random = new Random(seed);
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        Architectures.of(ModelConfig.read(config))
                .requiredTensors()
                .forEach((name, shape) -> tensors.put(name, random(shape, random)));
        if (pooler) {
            tensors.put("pooler.dense.weight", random(Shape.of(HIDDEN, HIDDEN), random));
            tensors.put("pooler.dense.bias", random(Shape.of(HIDDEN), random));
        }
        SafetensorsWriter.write(folder.resolve("model.safetensors"), tensors, Map.of("format", "pt"));
        return folder;
    }

    /** Tensors of a head. */
    static Map<String, FloatTensor> head(long seed) {
        Random random = new Random(seed);
        int labels = HEAD.labels().size();
        return Map.of(
                "classifier.weight", random(Shape.of(labels, HIDDEN), random),
                "classifier.bias", random(Shape.of(labels), random));
    }

    static FloatTensor random(Shape shape, Random random) {
        float[] values = new float[(int) shape.elements()];
        for (int i = 0; i < values.length; i++) {
            values[i] = 0.3f * (float) random.nextGaussian();
        }
        return new FloatTensor(shape, values);
    }
}
