package dev.adapt.formats.algebra;

import dev.adapt.formats.io.JsonDocument;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/** The element-wise non-linearities of the architectures. */
public enum Activation {
    /** {@code x·Φ(x)} with the exact error function (Hendrycks and Gimpel, arXiv 1606.08415). */
    GELU,
    /** The tanh approximation of GELU, equation 2 of the same paper. */
    GELU_TANH,
    RELU,
    SILU,
    TANH,
    SIGMOID,
    EXP,
    /** {@code x·σ(1.702·x)}, the sigmoid approximation of GELU, section 2 of the same paper. */
    GELU_SIGMOID,
    /** The square of RELU (So et al., arXiv 2109.08668). */
    RELU_SQUARED;

    /** What config.json files call the functions ({@code hidden_act}); one function has several names. */
    private static final Map<String, Activation> NAMES = names();

    private static Map<String, Activation> names() {
        Map<String, Activation> names = new LinkedHashMap<>();
        names.put("gelu", GELU);
        names.put("gelu_python", GELU);
        names.put("gelu_new", GELU_TANH);
        names.put("gelu_pytorch_tanh", GELU_TANH);
        names.put("gelu_fast", GELU_TANH);
        names.put("gelu_python_tanh", GELU_TANH);
        names.put("gelu_accurate", GELU_TANH);
        names.put("relu", RELU);
        names.put("silu", SILU);
        names.put("swish", SILU);
        names.put("tanh", TANH);
        names.put("sigmoid", SIGMOID);
        names.put("quick_gelu", GELU_SIGMOID);
        names.put("relu2", RELU_SQUARED);
        return Collections.unmodifiableMap(names);
    }

    /** The function config.json calls {@code name}, if it is one of these. */
    static Optional<Activation> named(String name) {
        return Optional.ofNullable(NAMES.get(name));
    }

    /**
     * The function that a field of a config names.
     *
     * @throws dev.adapt.formats.FormatException if it is none of these
     */
    public static Activation of(JsonDocument config, String field, String otherwise) {
        return named(config.string(field).orElse(otherwise))
                .orElseThrow(() -> config.wrong(field, "one of " + String.join(", ", NAMES.keySet())));
    }
}
