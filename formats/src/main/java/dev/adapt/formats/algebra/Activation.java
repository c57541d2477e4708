package dev.adapt.formats.algebra;

import dev.adapt.formats.io.JsonDocument;
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

    /** The function config.json calls {@code name} ({@code hidden_act}), if it is one of these. */
    static Optional<Activation> named(String name) {
        return switch (name) {
            case "gelu", "gelu_python" -> Optional.of(GELU);
            case "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_python_tanh", "gelu_accurate" ->
                Optional.of(GELU_TANH);
            case "relu" -> Optional.of(RELU);
            case "silu", "swish" -> Optional.of(SILU);
            case "tanh" -> Optional.of(TANH);
            case "sigmoid" -> Optional.of(SIGMOID);
            case "quick_gelu" -> Optional.of(GELU_SIGMOID);
            case "relu2" -> Optional.of(RELU_SQUARED);
            default -> Optional.empty();
        };
    }

    /**
     * The function that a field of a config names.
     *
     * @throws dev.adapt.formats.FormatException if it is none of these
     */
    public static Activation of(JsonDocument config, String field, String otherwise) {
        return named(config.string(field).orElse(otherwise))
                .orElseThrow(() -> config.wrong(field, "gelu, gelu_new, relu, silu or tanh"));
    }
}
