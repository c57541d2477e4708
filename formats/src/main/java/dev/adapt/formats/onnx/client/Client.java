package dev.adapt.formats.onnx.client;

import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.onnx.OnnxPrecision;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * A program that runs exported models, and the folder that it loads one from.
 *
 * @param name what users call it
 * @param states whether it makes vectors of token states itself, so that a model's head is left out; otherwise it takes
 *     the outputs of the model's class
 * @param poolings those it can make vectors by; it is told which, but for the one of a set of one
 * @param folder where in the folder the model lies; empty for the folder itself
 * @param names the model's file by precision, without {@code .onnx}
 * @param configured whether it reads config.json, tokenizer_config.json and all files of the tokenizer; otherwise
 *     tokenizer.json alone
 * @param cutOff whether tokenizer.json must say at how many tokens a text ends: the program has no limit of its own
 * @param oneFile whether it reads the model as bytes, so that weights cannot lie in a second file
 * @param companion what is written beside
 */
public record Client(
        String name,
        boolean states,
        Set<Pooling> poolings,
        String folder,
        Map<OnnxPrecision, String> names,
        boolean configured,
        boolean cutOff,
        boolean oneFile,
        Companion companion) {
    /** A file that tells the program, or the user, how the model is to be used. */
    public enum Companion {
        NONE,
        /** {@code embedder.xml}, the component for services.xml. */
        VESPA,
        /** The model and its tokenizer as {@code model.zip}, and {@code register.json}, the request that registers it. */
        OPENSEARCH
    }

    private static final Set<Pooling> ANY = Set.of(Pooling.MEAN, Pooling.CLS, Pooling.MAX, Pooling.LAST);

    private static final Set<Pooling> MEAN_OR_CLS = Set.of(Pooling.MEAN, Pooling.CLS);

    /** All programs that have a folder of their own. */
    public static final List<Client> ALL = List.of(
            new Client("langchain4j", true, MEAN_OR_CLS, "", plain(), false, false, false, Companion.NONE),
            new Client("spring-ai", true, Set.of(Pooling.MEAN), "", plain(), false, true, true, Companion.NONE),
            new Client("transformers.js", false, ANY, "onnx", suffixed(), true, false, false, Companion.NONE),
            new Client("optimum", false, ANY, "", suffixed(), true, false, false, Companion.NONE),
            new Client("vespa", true, MEAN_OR_CLS, "", plain(), false, false, false, Companion.VESPA),
            new Client(
                    "opensearch",
                    true,
                    Set.of(Pooling.MEAN, Pooling.CLS, Pooling.MAX),
                    "",
                    plain(),
                    false,
                    true,
                    true,
                    Companion.OPENSEARCH));

    public Client {
        poolings = Set.copyOf(poolings);
        names = Map.copyOf(names);
    }

    private static Map<OnnxPrecision, String> plain() {
        Map<OnnxPrecision, String> names = new EnumMap<>(OnnxPrecision.class);
        for (OnnxPrecision precision : OnnxPrecision.values()) {
            names.put(precision, "model");
        }
        return names;
    }

    /** As Hugging Face's exporters name models beside each other. */
    private static Map<OnnxPrecision, String> suffixed() {
        return Map.of(
                OnnxPrecision.FP32, "model",
                OnnxPrecision.FP16, "model_fp16",
                OnnxPrecision.INT8, "model_quantized",
                OnnxPrecision.INT4, "model_q4");
    }

    /** The program of that name. */
    public static Optional<Client> named(String name) {
        return ALL.stream().filter(client -> client.name().equals(name)).findFirst();
    }

    /** Where in its folder the model lies. */
    public String path(OnnxPrecision precision) {
        String file = names.getOrDefault(precision, "model") + ".onnx";
        return folder.isEmpty() ? file : folder + "/" + file;
    }
}
