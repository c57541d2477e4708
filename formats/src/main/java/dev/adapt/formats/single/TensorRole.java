package dev.adapt.formats.single;

import java.util.List;
import java.util.Optional;

/** What a tensor of such a file is to its module, by what its name ends with. */
enum TensorRole {
    DOWN(
            ".lora_down.weight",
            ".lora.down.weight",
            ".lora_linear_layer.down.weight",
            ".lora_A.weight",
            ".lora_A.default.weight",
            "_lora.down.weight"),
    UP(
            ".lora_up.weight",
            ".lora.up.weight",
            ".lora_linear_layer.up.weight",
            ".lora_B.weight",
            ".lora_B.default.weight",
            "_lora.up.weight"),
    MID(".lora_mid.weight"),
    ALPHA(".alpha"),
    MAGNITUDE(".dora_scale", ".lora_magnitude_vector", ".lora_magnitude_vector.weight"),
    HADA_W1_A(".hada_w1_a"),
    HADA_W1_B(".hada_w1_b"),
    HADA_W2_A(".hada_w2_a"),
    HADA_W2_B(".hada_w2_b"),
    HADA_T1(".hada_t1"),
    HADA_T2(".hada_t2"),
    LOKR_W1(".lokr_w1"),
    LOKR_W1_A(".lokr_w1_a"),
    LOKR_W1_B(".lokr_w1_b"),
    LOKR_W2(".lokr_w2"),
    LOKR_W2_A(".lokr_w2_a"),
    LOKR_W2_B(".lokr_w2_b"),
    LOKR_T2(".lokr_t2");

    /** Before a layer in the names of diffusers' old attention processors. */
    private static final String PROCESSOR = ".processor.";

    @SuppressWarnings("ImmutableEnumChecker") // List.of makes an immutable list
    private final List<String> endings;

    TensorRole(String... endings) {
        this.endings = List.of(endings);
    }

    /** The ending that kohya and LyCORIS write. */
    String ending() {
        return endings.getFirst();
    }

    /** PEFT's name of the part. */
    String part() {
        return switch (this) {
            case DOWN -> "lora_A.weight";
            case UP -> "lora_B.weight";
            case MAGNITUDE -> "lora_magnitude_vector";
            case MID, ALPHA -> throw new IllegalStateException(this + " is no part of PEFT's");
            default -> endings.getFirst().substring(1);
        };
    }

    /** A tensor of a module. */
    record Named(String module, TensorRole role) {}

    /** The module and the role that a tensor's name tells, if it is one of an adapter. */
    static Optional<Named> of(String tensor) {
        for (TensorRole role : values()) {
            for (String ending : role.endings) {
                if (tensor.endsWith(ending)) {
                    String module = tensor.substring(0, tensor.length() - ending.length());
                    return Optional.of(new Named(module.replace(PROCESSOR, "."), role));
                }
            }
        }
        return Optional.empty();
    }
}
