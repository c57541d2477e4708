package dev.adapt.formats.architecture;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.architecture.decoder.DecoderFamilies;
import dev.adapt.formats.architecture.encoder.EncoderFamilies;
import dev.adapt.formats.architecture.encoder.TwoTowers;
import dev.adapt.formats.architecture.query.QueryDecoder;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.ModelConfig;
import java.util.Optional;
import java.util.function.UnaryOperator;

/** The architectures that have a graph, by the {@code model_type} of their config. */
public final class Architectures {
    private Architectures() {}

    /**
     * The architecture config.json describes.
     *
     * @throws FormatException if its {@code model_type}, or an option that changes the graph, is not supported
     */
    public static Architecture of(ModelConfig config) {
        if (config.modelType().equals(QueryDecoder.TYPE)) {
            return QueryDecoder.of(config);
        }
        Optional<Architecture> encoder = EncoderFamilies.of(config).map(Architecture.class::cast);
        return encoder.or(() -> TwoTowers.of(config))
                .or(() -> DecoderFamilies.of(config))
                .orElseThrow(() -> new FormatException(
                        config.document().path(),
                        "model_type",
                        "\"" + config.modelType() + "\" is not supported, expected one of: "
                                + String.join(", ", EncoderFamilies.types()) + ", clip, siglip, " + QueryDecoder.TYPE
                                + ", "
                                + String.join(", ", DecoderFamilies.types())
                                + "; adapters of other models can be merged only"));
    }

    /** What transformers calls tensors in a checkpoint of the class that the config names, by their canonical names. */
    public static UnaryOperator<String> checkpointNames(ModelConfig config) {
        boolean bare = config.className().isEmpty() || config.className().endsWith("Model");
        boolean language = config.className().endsWith("LMHeadModel");
        Architecture own = of(config);
        return canonical -> (bare && !language) || own.isOfHead(canonical) ? canonical : own.prefix() + canonical;
    }
}
