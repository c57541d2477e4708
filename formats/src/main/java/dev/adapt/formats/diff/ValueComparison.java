package dev.adapt.formats.diff;

import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatFormat;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Comparator;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.stream.Stream;

/** Two tensors of one shape, compared piece by piece: memory stays a few blocks, whatever the tensors' size. */
final class ValueComparison {
    /** Elements converted at a time: both blocks stay in a core's first-level cache. */
    private static final int BLOCK = 1 << 12;

    private static final ValueLayout.OfDouble DOUBLE =
            ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final MemorySegment left;
    private final MemorySegment right;
    private final Dtype leftDtype;
    private final Dtype rightDtype;
    private final Optional<FloatFormat> narrower;
    private final long elements;

    /** A comparison of tensors whose dtypes are {@link #comparable}. */
    ValueComparison(TensorView left, TensorView right) {
        this.left = left.data();
        this.right = right.data();
        this.leftDtype = left.dtype();
        this.rightDtype = right.dtype();
        this.narrower = narrower(leftDtype, rightDtype);
        this.elements = left.data().byteSize() * Byte.SIZE / bits(leftDtype);
    }

    /** Whether two dtypes have numbers in common, or are the same. */
    static boolean comparable(Dtype left, Dtype right) {
        boolean complex = left == Dtype.C64 || right == Dtype.C64;
        return left == right || (!complex && narrower(left, right).isPresent());
    }

    /** A complex number is two floats. */
    private static Optional<FloatFormat> floats(Dtype dtype) {
        return dtype == Dtype.C64 ? Optional.of(FloatFormat.F32) : dtype.floatFormat();
    }

    /** The size of what is compared as one: a number, or a byte of packed ones. */
    private static int bits(Dtype dtype) {
        return dtype.bits() < Byte.SIZE ? Byte.SIZE : dtype == Dtype.C64 ? Float.SIZE : dtype.bits();
    }

    /** The format in which units in the last place are counted. */
    private static Optional<FloatFormat> narrower(Dtype left, Dtype right) {
        if (floats(left).isEmpty() || floats(right).isEmpty()) {
            return Optional.empty();
        }
        FloatFormat one = floats(left).get();
        FloatFormat other = floats(right).get();
        if (one == other) {
            return Optional.of(one);
        }
        // what is only read cannot be rounded to; float16 holds all numbers of both formats of 8 bits
        return Optional.of(Stream.of(one, other)
                .filter(FloatFormat::writable)
                .min(Comparator.comparingInt(FloatFormat::bytes).thenComparingInt(FloatFormat::fractionBits))
                .orElse(FloatFormat.F16));
    }

    /** How many elements there are. */
    long elements() {
        return elements;
    }

    /** Compares elements {@code from} to {@code to}, exclusive. */
    ValueDifference compare(long from, long to) {
        if (leftDtype == rightDtype) {
            int bytes = bits(leftDtype) / Byte.SIZE;
            long same = MemorySegment.mismatch(left, from * bytes, to * bytes, right, from * bytes, to * bytes);
            if (same < 0) {
                return ValueDifference.none(to - from);
            }
            long first = from + same / bytes;
            return ValueDifference.none(first - from).and(differences(first, to));
        }
        return differences(from, to);
    }

    private ValueDifference differences(long from, long to) {
        if (narrower.isEmpty()) {
            return integers(from, to);
        }
        boolean wide = floats(leftDtype).equals(Optional.of(FloatFormat.F64))
                || floats(rightDtype).equals(Optional.of(FloatFormat.F64));
        Block one = new Block(left, floats(leftDtype).orElseThrow(), narrower.get());
        Block other = new Block(right, floats(rightDtype).orElseThrow(), narrower.get());
        Tally tally = new Tally();
        for (long block = from; block < to; block += BLOCK) {
            int count = (int) Math.min(BLOCK, to - block);
            one.read(block, count);
            other.read(block, count);
            for (int i = 0; i < count; i++) {
                double x = wide ? one.wide(block + i, i) : one.floats[i];
                double y = wide ? other.wide(block + i, i) : other.floats[i];
                if (!(leftDtype == rightDtype ? one.sameBits(other, i) : sameValue(x, y))) {
                    tally.add(block + i, distance(x, y), ulps(x, y, one.patterns[i], other.patterns[i]));
                }
            }
        }
        return tally.over(to - from, true);
    }

    private static boolean sameValue(double x, double y) {
        return x == y || (Double.isNaN(x) && Double.isNaN(y));
    }

    private static double distance(double x, double y) {
        if (sameValue(x, y)) {
            return 0;
        }
        return Double.isNaN(x) || Double.isNaN(y) ? Double.POSITIVE_INFINITY : Math.abs(x - y);
    }

    private static long ulps(double x, double y, long one, long other) {
        boolean nan = Double.isNaN(x) || Double.isNaN(y);
        if (nan) {
            return Double.isNaN(x) && Double.isNaN(y) ? 0 : Long.MAX_VALUE;
        }
        // numbers of opposite signs can be farther apart than a long counts
        long apart = one - other;
        boolean overflow = ((one ^ other) & (one ^ apart)) < 0;
        return overflow ? Long.MAX_VALUE : Math.abs(apart);
    }

    private ValueDifference integers(long from, long to) {
        Tally tally = new Tally();
        for (long i = from; i < to; i++) {
            long one = integer(left, i);
            long other = integer(right, i);
            if (one != other) {
                tally.add(i, distanceOf(one, other), 0);
            }
        }
        return tally.over(to - from, false);
    }

    /** Between integers; what else a dtype's patterns mean is unknown here, and nothing is near. */
    private double distanceOf(long one, long other) {
        return switch (leftDtype) {
            case U64 -> Math.abs(unsigned(one) - unsigned(other));
            case I64, I32, U32, I16, U16, I8, U8, BOOL -> Math.abs((double) one - (double) other);
            default -> Double.POSITIVE_INFINITY;
        };
    }

    private long integer(MemorySegment data, long i) {
        return switch (leftDtype) {
            case I64, U64 -> data.get(LONG, i * Long.BYTES);
            case I32 -> data.get(INT, i * Integer.BYTES);
            case U32 -> Integer.toUnsignedLong(data.get(INT, i * Integer.BYTES));
            case I16 -> data.get(SHORT, i * Short.BYTES);
            case U16 -> Short.toUnsignedLong(data.get(SHORT, i * Short.BYTES));
            case I8 -> data.get(ValueLayout.JAVA_BYTE, i);
            default -> Byte.toUnsignedLong(data.get(ValueLayout.JAVA_BYTE, i));
        };
    }

    private static double unsigned(long value) {
        return value >= 0 ? value : (value >>> 1) * 2.0 + (value & 1);
    }

    /** The largest difference met so far. */
    private static final class Tally {
        private long differing;
        private double absolute;
        private long ulps;
        private long at;

        void add(long element, double distance, long apart) {
            if (differing == 0 || distance > absolute) {
                at = element;
            }
            differing++;
            absolute = Math.max(absolute, distance);
            ulps = Math.max(ulps, apart);
        }

        ValueDifference over(long elements, boolean floats) {
            return new ValueDifference(
                    elements,
                    differing,
                    absolute,
                    floats && differing > 0 ? OptionalLong.of(ulps) : OptionalLong.empty(),
                    at);
        }
    }

    /** A run of one tensor's elements: as float32, and as patterns of the narrower format in the order of the numbers. */
    private static final class Block {
        private final MemorySegment data;
        private final FloatFormat format;
        private final FloatFormat narrower;
        private final float[] floats = new float[BLOCK];
        private final long[] patterns = new long[BLOCK];
        private final MemorySegment rounded = MemorySegment.ofArray(new byte[BLOCK * Double.BYTES]);

        Block(MemorySegment data, FloatFormat format, FloatFormat narrower) {
            this.data = data;
            this.format = format;
            this.narrower = narrower;
        }

        void read(long from, int count) {
            format.decode(data, from, floats, count);
            MemorySegment source = data;
            long start = from;
            if (format != narrower) {
                narrower.encode(floats, 0, count, rounded);
                source = rounded;
                start = 0;
            }
            for (int i = 0; i < count; i++) {
                patterns[i] = ordered(source, start + i);
            }
        }

        /** Sign and magnitude as an integer: neighbours in number are neighbours here, and the zeros are one. */
        private long ordered(MemorySegment source, long i) {
            long pattern = switch (narrower.bytes()) {
                case Double.BYTES -> source.get(LONG, i * Double.BYTES);
                case Float.BYTES -> source.get(INT, i * Float.BYTES);
                case Short.BYTES -> source.get(SHORT, i * Short.BYTES);
                default -> source.get(ValueLayout.JAVA_BYTE, i);
            };
            // widened with its sign, it is negative where the number is; the magnitude is below the sign bit
            long magnitude = pattern & (Long.MAX_VALUE >>> (Long.SIZE - narrower.bytes() * Byte.SIZE));
            return pattern < 0 ? -magnitude : magnitude;
        }

        /** Of one dtype; the zeros, which are one number, differ in their sign. */
        boolean sameBits(Block other, int i) {
            return patterns[i] == other.patterns[i]
                    && (patterns[i] != 0
                            || Float.floatToRawIntBits(floats[i]) == Float.floatToRawIntBits(other.floats[i]));
        }

        double wide(long element, int inBlock) {
            return format == FloatFormat.F64 ? data.get(DOUBLE, element * Double.BYTES) : floats[inBlock];
        }
    }
}
