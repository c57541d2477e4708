package dev.adapt.formats.gguf;

import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** One value of a GGUF file's metadata. */
public sealed interface GgufValue {
    /** What kind of value it is, by its number in the file. */
    enum Kind {
        U8(0, 1),
        I8(1, 1),
        U16(2, 2),
        I16(3, 2),
        U32(4, 4),
        I32(5, 4),
        F32(6, 4),
        BOOL(7, 1),
        STRING(8, 8),
        ARRAY(9, 12),
        U64(10, 8),
        I64(11, 8),
        F64(12, 8);

        private final int id;
        private final int least;

        Kind(int id, int least) {
            this.id = id;
            this.least = least;
        }

        /** The number that a file writes for it. */
        int id() {
            return id;
        }

        /** The fewest bytes a value takes. */
        int least() {
            return least;
        }

        static Optional<Kind> ofId(int id) {
            return id >= 0 && id < values().length ? Optional.of(values()[id]) : Optional.empty();
        }
    }

    /** What kind of value it is. */
    Kind kind();

    /** An integer; of {@link Kind#U64} with the bits of an unsigned number. */
    record Whole(Kind kind, long value) implements GgufValue {}

    /** A floating-point number. */
    record Real(Kind kind, double value) implements GgufValue {}

    /** True or false. */
    record Flag(boolean value) implements GgufValue {
        @Override
        public Kind kind() {
            return Kind.BOOL;
        }
    }

    /** A string. */
    record Text(String value) implements GgufValue {
        @Override
        public Kind kind() {
            return Kind.STRING;
        }
    }

    /** Values of one kind. */
    record Items(Kind of, List<GgufValue> values) implements GgufValue {
        public Items {
            values = List.copyOf(values);
        }

        @Override
        public Kind kind() {
            return Kind.ARRAY;
        }
    }

    /** An unsigned integer of 32 bits. */
    static GgufValue u32(long value) {
        if (value < 0 || value > 0xffffffffL) {
            throw new IllegalArgumentException(value + " is no unsigned integer of 32 bits");
        }
        return new Whole(Kind.U32, value);
    }

    /** A float32. */
    static GgufValue f32(double value) {
        return new Real(Kind.F32, (float) value);
    }

    /** True or false. */
    static GgufValue flag(boolean value) {
        return new Flag(value);
    }

    /** A string. */
    static GgufValue text(String value) {
        return new Text(value);
    }

    /** Strings. */
    static GgufValue texts(List<String> values) {
        return new Items(Kind.STRING, values.stream().map(GgufValue::text).toList());
    }

    /** Signed integers of 32 bits. */
    static GgufValue i32s(int... values) {
        return new Items(
                Kind.I32,
                IntStream.of(values)
                        .<GgufValue>mapToObj(value -> new Whole(Kind.I32, value))
                        .toList());
    }

    /** Unsigned bytes. */
    static GgufValue u8s(byte... values) {
        return new Items(
                Kind.U8,
                IntStream.range(0, values.length)
                        .<GgufValue>mapToObj(i -> new Whole(Kind.U8, values[i] & 0xff))
                        .toList());
    }

    /** Numbers of 32 bits. */
    static GgufValue f32s(float... values) {
        return new Items(
                Kind.F32,
                IntStream.range(0, values.length).mapToObj(i -> f32(values[i])).toList());
    }

    /** Its text, for people: of an array its length and first values. */
    default String shown() {
        return switch (this) {
            case Whole whole ->
                whole.kind() == Kind.U64 ? Long.toUnsignedString(whole.value()) : Long.toString(whole.value());
            case Real real ->
                real.kind() == Kind.F32 ? Float.toString((float) real.value()) : Double.toString(real.value());
            case Flag flag -> Boolean.toString(flag.value());
            case Text text -> text.value().length() > 100 ? text.value().substring(0, 100) + "…" : text.value();
            case Items items ->
                items.values().size() + " × " + items.of()
                        + Stream.concat(
                                        items.values().stream().limit(6).map(GgufValue::shown),
                                        items.values().size() > 6 ? Stream.of("…") : Stream.empty())
                                .toList();
        };
    }
}
