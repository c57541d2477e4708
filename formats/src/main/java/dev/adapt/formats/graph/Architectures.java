package dev.adapt.formats.graph;

import dev.adapt.formats.FormatException;
import java.util.stream.Stream;

/** The architectures that have a graph, by the {@code model_type} of their config. */
public final class Architectures {
    private Architectures() {}

    /**
     * The architecture config.json describes.
     *
     * @throws FormatException if its {@code model_type}, or an option that changes the graph, is not supported
     */
    public static Architecture of(ModelConfig config) {
        return switch (config.modelType()) {
            case "bert" -> Bert.of(config);
            case "roberta", "xlm-roberta" -> Roberta.of(config);
            case "vit" -> Vit.of(config);
            case QueryDecoder.TYPE -> QueryDecoder.of(config);
            case String other ->
                DecoderFamilies.of(config)
                        .orElseThrow(() -> new FormatException(
                                config.document().path(),
                                "model_type",
                                "\"" + other
                                        + "\" is not supported, expected one of: bert, roberta, xlm-roberta, vit, query_decoder, "
                                        + String.join(", ", DecoderFamilies.types())));
        };
    }

    /** What transformers calls the tensor of a canonical name in a checkpoint of the class that the config names. */
    public static String checkpointName(ModelConfig config, String canonical) {
        boolean bare = config.className().isEmpty() || config.className().endsWith("Model");
        boolean ofHead = Stream.of(Head.MODULE, Head.SCORE, Decoder.LM_HEAD, "embed_out")
                .anyMatch(module -> canonical.startsWith(module + "."));
        boolean language = config.className().endsWith("LMHeadModel");
        return (bare && !language) || ofHead ? canonical : of(config).prefix() + canonical;
    }
}
