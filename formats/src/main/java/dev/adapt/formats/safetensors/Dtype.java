package dev.adapt.formats.safetensors;

import dev.adapt.formats.tensor.FloatFormat;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * The element types of the safetensors format, named as its header names them.
 *
 * @see <a href="https://github.com/huggingface/safetensors">the format's specification</a>
 */
public enum Dtype {
    BOOL(8),
    F4(4),
    F6_E2M3(6),
    F6_E3M2(6),
    U8(8),
    I8(8),
    F8_E5M2(8),
    F8_E4M3(8),
    F8_E8M0(8),
    F8_E4M3FNUZ(8),
    F8_E5M2FNUZ(8),
    I16(16),
    U16(16),
    F16(16),
    BF16(16),
    I32(32),
    U32(32),
    F32(32),
    C64(64),
    F64(64),
    I64(64),
    U64(64);

    private static final Map<String, Dtype> BY_NAME =
            Stream.of(values()).collect(Collectors.toUnmodifiableMap(Dtype::name, dtype -> dtype));

    private final int bits;

    Dtype(int bits) {
        this.bits = bits;
    }

    /** The size of one element in bits; under 8 for the packed types. */
    public int bits() {
        return bits;
    }

    /** How its elements convert to and from float32, where they do. */
    public Optional<FloatFormat> floatFormat() {
        return switch (this) {
            case F64 -> Optional.of(FloatFormat.F64);
            case F32 -> Optional.of(FloatFormat.F32);
            case F16 -> Optional.of(FloatFormat.F16);
            case BF16 -> Optional.of(FloatFormat.BF16);
            case F8_E4M3 -> Optional.of(FloatFormat.F8_E4M3);
            case F8_E5M2 -> Optional.of(FloatFormat.F8_E5M2);
            default -> Optional.empty();
        };
    }

    /** The type a header calls {@code name}, if the format has it. */
    static Optional<Dtype> named(String name) {
        return Optional.ofNullable(BY_NAME.get(name));
    }
}
