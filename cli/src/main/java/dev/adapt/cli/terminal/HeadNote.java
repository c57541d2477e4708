package dev.adapt.cli.terminal;

import dev.adapt.formats.graph.Pooling;
import java.util.Locale;

/** What a user must know of a model whose head is none of transformers': what reads it and what does not. */
public final class HeadNote {
    private HeadNote() {}

    /** One sentence. */
    public static String of(Pooling pooling) {
        return "the head reads \"" + pooling.name().toLowerCase(Locale.ROOT)
                + "\" of the token states, which no class of"
                + " transformers does: config.json names the class without a head, and adapt predict and the model that"
                + " export-onnx writes compute the classes; train with --pooling pooler for a head that transformers computes";
    }
}
