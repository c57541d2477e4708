package dev.adapt.formats.gguf;

import dev.adapt.formats.tensor.FloatFormat;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * The element types of GGUF tensors: their numbers in the file, and how many bytes a block of elements takes. Only
 * {@link #F32}, {@link #F16}, {@link #BF16} and {@link #Q8_0} are read and written as numbers; the others are listed.
 *
 * @see <a href="https://github.com/ggml-org/ggml/blob/master/docs/gguf.md">the format's specification</a>
 */
public enum GgmlType {
    F32(0, 1, 4),
    F16(1, 1, 2),
    Q4_0(2, 32, 18),
    Q4_1(3, 32, 20),
    Q5_0(6, 32, 22),
    Q5_1(7, 32, 24),
    /** Blocks of 32 signed bytes with one float16 scale. */
    Q8_0(8, 32, 34),
    Q8_1(9, 32, 36),
    Q2_K(10, 256, 84),
    Q3_K(11, 256, 110),
    Q4_K(12, 256, 144),
    Q5_K(13, 256, 176),
    Q6_K(14, 256, 210),
    Q8_K(15, 256, 292),
    IQ2_XXS(16, 256, 66),
    IQ2_XS(17, 256, 74),
    IQ3_XXS(18, 256, 98),
    IQ1_S(19, 256, 50),
    IQ4_NL(20, 32, 18),
    IQ3_S(21, 256, 110),
    IQ2_S(22, 256, 82),
    IQ4_XS(23, 256, 136),
    I8(24, 1, 1),
    I16(25, 1, 2),
    I32(26, 1, 4),
    I64(27, 1, 8),
    F64(28, 1, 8),
    IQ1_M(29, 256, 56),
    BF16(30, 1, 2),
    TQ1_0(34, 256, 54),
    TQ2_0(35, 256, 66),
    MXFP4(39, 32, 17);

    private static final Map<Integer, GgmlType> BY_ID =
            Stream.of(values()).collect(Collectors.toUnmodifiableMap(GgmlType::id, type -> type));

    private final int id;
    private final int blockElements;
    private final int blockBytes;

    GgmlType(int id, int blockElements, int blockBytes) {
        this.id = id;
        this.blockElements = blockElements;
        this.blockBytes = blockBytes;
    }

    /** The number that stands for it in a file. */
    int id() {
        return id;
    }

    /** Elements that are stored together; a row of a tensor holds whole blocks. */
    public int blockElements() {
        return blockElements;
    }

    /** Bytes of one block. */
    int blockBytes() {
        return blockBytes;
    }

    /**
     * Bytes of so many elements.
     *
     * @throws ArithmeticException if that overflows
     */
    public long bytes(long elements) {
        return Math.multiplyExact(elements / blockElements, blockBytes);
    }

    /** How single elements convert to and from float32; empty for blocks and integers. */
    public Optional<FloatFormat> floatFormat() {
        return switch (this) {
            case F32 -> Optional.of(FloatFormat.F32);
            case F16 -> Optional.of(FloatFormat.F16);
            case BF16 -> Optional.of(FloatFormat.BF16);
            case F64 -> Optional.of(FloatFormat.F64);
            default -> Optional.empty();
        };
    }

    /** The type with that number, if it is known. */
    static Optional<GgmlType> ofId(int id) {
        return Optional.ofNullable(BY_ID.get(id));
    }
}
