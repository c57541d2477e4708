package dev.adapt.formats.single;

import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;

/** A model of a diffusion pipeline, by what the names of its modules begin with in a file that holds several models' adapters. */
public enum ModelPart {
    /** The denoiser: a U-Net or a transformer. */
    UNET(
            List.of("lora_unet_", "lora_transformer_", "lora_prior_unet_", "lycoris_"),
            List.of("unet.", "transformer.", "diffusion_model.")),
    /** The first text encoder. */
    TE1(List.of("lora_te1_", "lora_te_", "lora_prior_te_"), List.of("text_encoder.", "text_encoders.")),
    /** The second text encoder. */
    TE2(List.of("lora_te2_"), List.of("text_encoder_2.")),
    /** The third text encoder. */
    TE3(List.of("lora_te3_"), List.of("text_encoder_3."));

    @SuppressWarnings("ImmutableEnumChecker") // List.of makes immutable lists
    private final List<String> flat;

    @SuppressWarnings("ImmutableEnumChecker") // the same
    private final List<String> dotted;

    ModelPart(List<String> flat, List<String> dotted) {
        this.flat = flat;
        this.dotted = dotted;
    }

    /** What it is called on a command line. */
    String title() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** The prefix of kohya's names, with the model's. */
    String prefix() {
        return flat.getFirst();
    }

    /** A module's name split after the prefix that names a model, if it has one. */
    static Optional<Named> of(String module) {
        return Stream.of(values())
                .flatMap(part -> Stream.concat(part.flat.stream(), part.dotted.stream())
                        .filter(module::startsWith)
                        .map(prefix -> new Named(part, module.substring(prefix.length()))))
                .findFirst();
    }

    /** A module of a model. */
    record Named(ModelPart part, String module) {}
}
