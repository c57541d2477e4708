package dev.adapt.merge.kernel;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.ref.Reference;
import java.nio.ByteOrder;
import java.util.List;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/** The kernels on the Vector API. */
public final class VectorKernels implements Kernels {
    private static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
    private static final VectorSpecies<Integer> INTS = VectorSpecies.of(int.class, FLOATS.vectorShape());
    private static final VectorSpecies<Short> SHORTS =
            VectorSpecies.of(short.class, VectorShape.forBitSize(FLOATS.vectorBitSize() / 2));
    private static final int LANES = FLOATS.length();
    private static final int WIDTH = 2 * LANES;
    private static final int HIGH = 0xffff0000;
    private static final int MAGNITUDE = 0x7fffffff;
    private static final int FLOAT32_INFINITE = Float.floatToRawIntBits(Floats.F32.overflow());
    private static final int FLOAT16_INFINITE = Float.floatToRawIntBits(Floats.F16.overflow());
    private static final int BFLOAT16_INFINITE = Float.floatToRawIntBits(Floats.BF16.overflow());

    /**
     * All memory there is. The kind of a segment that comes as an argument is known to C2 only from watching calls, of which
     * there are too few before it compiles the kernels; of a constant it is known, and the access is one instruction.
     */
    @SuppressWarnings("restricted")
    private static final MemorySegment MEMORY = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

    /** More than the launcher lets these methods be called before C2 compiles them. */
    private static final int CALLS = 50;

    /**
     * The Vector API is a thousand times slower until C2 has compiled it: for a second, no tile would be done. The launcher tells
     * Java to compile these methods at once. Of the dtypes, only that of most large models is compiled: the others' code waits for its first use.
     */
    @Override
    public void compile() {
        int columns = WIDTH + 1;
        float[] factor = new float[4 * WIDTH];
        Panels panels = panels(Floats.BF16);
        Factors factors = new Factors(List.of(), factor, columns, 2, panels);
        Product sums = new Product(new float[2 * Panels.ROWS * WIDTH], panels, 0, 2);
        MemorySegment weight = Arena.ofAuto().allocate((long) columns * Floats.BF16.bytes());
        NonFinite found = new NonFinite();
        for (int i = 0; i < CALLS; i++) {
            multiply(factors, factor, 0, 1, i % 2, 1, sums);
            add(Floats.BF16, sums, 1, columns, weight, weight, found);
            // called twice as often as what it calls, it is compiled before, with all of that in it
            add(Floats.BF16, sums, 0, columns, weight, weight, found);
        }
    }

    @Override
    public void compileRows(Floats dtype) {
        int count = WIDTH + 1;
        float[] one = new float[Panels.ROWS * WIDTH];
        float[] other = new float[Panels.ROWS * WIDTH];
        MemorySegment stored = Arena.ofAuto().allocate((long) count * dtype.bytes());
        for (int i = 0; i < CALLS; i++) {
            multiply(one, 0, 1, 1, one, 0, 1, other, 0, WIDTH, WIDTH + i % 2);
            for (Operation operation : Operation.values()) {
                combine(operation, one, 0, one, 0, other, 0, count);
                combine(operation, one, 0, 1, other, 0, count);
            }
            affine(one, 0, 1, 1, other, 0, count);
            decode(dtype, stored, one, count);
            areHeld(dtype, one, count);
            encode(dtype, one, count, stored);
        }
    }

    @Override
    public Panels panels(Floats dtype) {
        return new Panels(LANES, dtype.bytes() == Short.BYTES);
    }

    @Override
    public void multiply(Factors factors, float[] left, int row, int rows, int k, int depth, Product sums) {
        int rank = factors.rank();
        for (int panel = sums.first(); panel < sums.end(); panel++) {
            int rightAt = (panel * rank + k) * WIDTH;
            for (int block = 0; block < rows; block += Panels.ROWS) {
                int leftAt = (row + block) * rank + k * Panels.ROWS;
                multiply(left, leftAt, factors.right(), rightAt, depth, k > 0, sums.values(), sums.at(block, panel));
            }
        }
    }

    /**
     * One block and one panel. Eight sums stay in registers: on AVX2 they, two vectors of the right factor and a broadcast take 11
     * of 16.
     */
    private static void multiply(
            float[] left, int leftAt, float[] right, int rightAt, int depth, boolean more, float[] sums, int at) {
        FloatVector s00 = start(more, sums, at);
        FloatVector s01 = start(more, sums, at + LANES);
        FloatVector s10 = start(more, sums, at + 2 * LANES);
        FloatVector s11 = start(more, sums, at + 3 * LANES);
        FloatVector s20 = start(more, sums, at + 4 * LANES);
        FloatVector s21 = start(more, sums, at + 5 * LANES);
        FloatVector s30 = start(more, sums, at + 6 * LANES);
        FloatVector s31 = start(more, sums, at + 7 * LANES);
        for (int k = 0; k < depth; k++) {
            FloatVector r0 = FloatVector.fromArray(FLOATS, right, rightAt + k * WIDTH);
            FloatVector r1 = FloatVector.fromArray(FLOATS, right, rightAt + k * WIDTH + LANES);
            FloatVector l0 = FloatVector.broadcast(FLOATS, left[leftAt + k * Panels.ROWS]);
            s00 = r0.fma(l0, s00);
            s01 = r1.fma(l0, s01);
            FloatVector l1 = FloatVector.broadcast(FLOATS, left[leftAt + k * Panels.ROWS + 1]);
            s10 = r0.fma(l1, s10);
            s11 = r1.fma(l1, s11);
            FloatVector l2 = FloatVector.broadcast(FLOATS, left[leftAt + k * Panels.ROWS + 2]);
            s20 = r0.fma(l2, s20);
            s21 = r1.fma(l2, s21);
            FloatVector l3 = FloatVector.broadcast(FLOATS, left[leftAt + k * Panels.ROWS + 3]);
            s30 = r0.fma(l3, s30);
            s31 = r1.fma(l3, s31);
        }
        s00.intoArray(sums, at);
        s01.intoArray(sums, at + LANES);
        s10.intoArray(sums, at + 2 * LANES);
        s11.intoArray(sums, at + 3 * LANES);
        s20.intoArray(sums, at + 4 * LANES);
        s21.intoArray(sums, at + 5 * LANES);
        s30.intoArray(sums, at + 6 * LANES);
        s31.intoArray(sums, at + 7 * LANES);
    }

    @Override
    public void multiply(
            float[] left,
            int leftAt,
            int leftStep,
            int rows,
            float[] right,
            int rightAt,
            int depth,
            float[] y,
            int at,
            int step,
            int columns) {
        float[] edge = new float[columns % WIDTH == 0 ? 0 : Panels.ROWS * WIDTH];
        for (int column = 0; column < columns; column += WIDTH) {
            int panelAt = rightAt + column * depth;
            int width = Math.min(WIDTH, columns - column);
            for (int row = 0; row < rows; row += Panels.ROWS) {
                int count = Math.min(Panels.ROWS, rows - row);
                int from = leftAt + row * leftStep;
                int to = at + row * step + column;
                if (width == WIDTH) {
                    multiplyRows(left, from, leftStep, count, right, panelAt, depth, y, to, step);
                } else {
                    multiplyRows(left, from, leftStep, count, right, panelAt, depth, edge, 0, WIDTH);
                    for (int i = 0; i < count; i++) {
                        System.arraycopy(edge, i * WIDTH, y, to + i * step, width);
                    }
                }
            }
        }
    }

    /** Up to four rows of one panel. Where there are fewer, the last one is computed again in the place of the others. */
    private static void multiplyRows(
            float[] left,
            int row0,
            int leftStep,
            int count,
            float[] right,
            int rightAt,
            int depth,
            float[] y,
            int to0,
            int step) {
        int second = Math.min(1, count - 1);
        int third = Math.min(2, count - 1);
        int row1 = row0 + second * leftStep;
        int row2 = row0 + third * leftStep;
        int row3 = row0 + (count - 1) * leftStep;
        int to1 = to0 + second * step;
        int to2 = to0 + third * step;
        int to3 = to0 + (count - 1) * step;
        FloatVector s00 = FloatVector.zero(FLOATS);
        FloatVector s01 = s00;
        FloatVector s10 = s00;
        FloatVector s11 = s00;
        FloatVector s20 = s00;
        FloatVector s21 = s00;
        FloatVector s30 = s00;
        FloatVector s31 = s00;
        for (int k = 0; k < depth; k++) {
            FloatVector r0 = FloatVector.fromArray(FLOATS, right, rightAt + k * WIDTH);
            FloatVector r1 = FloatVector.fromArray(FLOATS, right, rightAt + k * WIDTH + LANES);
            FloatVector l0 = FloatVector.broadcast(FLOATS, left[row0 + k]);
            s00 = r0.fma(l0, s00);
            s01 = r1.fma(l0, s01);
            FloatVector l1 = FloatVector.broadcast(FLOATS, left[row1 + k]);
            s10 = r0.fma(l1, s10);
            s11 = r1.fma(l1, s11);
            FloatVector l2 = FloatVector.broadcast(FLOATS, left[row2 + k]);
            s20 = r0.fma(l2, s20);
            s21 = r1.fma(l2, s21);
            FloatVector l3 = FloatVector.broadcast(FLOATS, left[row3 + k]);
            s30 = r0.fma(l3, s30);
            s31 = r1.fma(l3, s31);
        }
        s00.intoArray(y, to0);
        s01.intoArray(y, to0 + LANES);
        s10.intoArray(y, to1);
        s11.intoArray(y, to1 + LANES);
        s20.intoArray(y, to2);
        s21.intoArray(y, to2 + LANES);
        s30.intoArray(y, to3);
        s31.intoArray(y, to3 + LANES);
    }

    @Override
    public void transform(InverseFourier.Pass pass, float[] re, float[] im, float[] toRe, float[] toIm) {
        VectorTransform.run(pass, re, im, toRe, toIm);
    }

    @Override
    public void combine(Operation operation, float[] a, int aAt, float[] b, int bAt, float[] y, int at, int count) {
        int bound = FLOATS.loopBound(count);
        switch (operation) {
            case ADD -> {
                for (int i = 0; i < bound; i += LANES) {
                    floats(a, aAt + i).add(floats(b, bAt + i)).intoArray(y, at + i);
                }
            }
            case MULTIPLY -> {
                for (int i = 0; i < bound; i += LANES) {
                    floats(a, aAt + i).mul(floats(b, bAt + i)).intoArray(y, at + i);
                }
            }
            case DIVIDE -> {
                for (int i = 0; i < bound; i += LANES) {
                    floats(a, aAt + i).div(floats(b, bAt + i)).intoArray(y, at + i);
                }
            }
        }
        for (int i = bound; i < count; i++) {
            y[at + i] = operation.of(a[aAt + i], b[bAt + i]);
        }
    }

    @Override
    public void combine(Operation operation, float[] a, int aAt, float b, float[] y, int at, int count) {
        int bound = FLOATS.loopBound(count);
        switch (operation) {
            case ADD -> {
                for (int i = 0; i < bound; i += LANES) {
                    floats(a, aAt + i).add(b).intoArray(y, at + i);
                }
            }
            case MULTIPLY -> {
                for (int i = 0; i < bound; i += LANES) {
                    floats(a, aAt + i).mul(b).intoArray(y, at + i);
                }
            }
            case DIVIDE -> {
                for (int i = 0; i < bound; i += LANES) {
                    floats(a, aAt + i).div(b).intoArray(y, at + i);
                }
            }
        }
        for (int i = bound; i < count; i++) {
            y[at + i] = operation.of(a[aAt + i], b);
        }
    }

    @Override
    public void affine(float[] x, int from, float scale, float shift, float[] y, int at, int count) {
        int bound = FLOATS.loopBound(count);
        for (int i = 0; i < bound; i += LANES) {
            floats(x, from + i).mul(scale).add(shift).intoArray(y, at + i);
        }
        for (int i = bound; i < count; i++) {
            y[at + i] = x[from + i] * scale + shift;
        }
    }

    @Override
    public void decode(Floats dtype, MemorySegment stored, float[] into, int count) {
        if (dtype.bytes() != Short.BYTES) {
            dtype.decode(stored, 0, into, count);
            return;
        }
        int bound = FLOATS.loopBound(count);
        try {
            long from = address(stored, (long) count * dtype.bytes());
            if (dtype == Floats.BF16) {
                for (int i = 0; i < bound; i += LANES) {
                    halves(from + (long) i * Short.BYTES)
                            .lanewise(VectorOperators.LSHL, 16)
                            .reinterpretAsFloats()
                            .intoArray(into, i);
                }
            } else {
                for (int i = 0; i < bound; i += LANES) {
                    fromFloat16(halves(from + (long) i * Short.BYTES)).intoArray(into, i);
                }
            }
        } finally {
            Reference.reachabilityFence(stored);
        }
        for (int i = bound; i < count; i++) {
            into[i] = dtype.getFloat(stored, i);
        }
    }

    private static IntVector halves(long address) {
        return (IntVector) ShortVector.fromMemorySegment(SHORTS, MEMORY, address, ByteOrder.LITTLE_ENDIAN)
                .convertShape(VectorOperators.ZERO_EXTEND_S2I, INTS, 0);
    }

    @Override
    public boolean areHeld(Floats dtype, float[] values, int count) {
        int least = Float.floatToRawIntBits(dtype.overflow());
        int bound = count / WIDTH * WIDTH;
        for (int i = 0; i < bound; i += WIDTH) {
            if (anyBeyond(floats(values, i), floats(values, i + LANES), least)) {
                return false;
            }
        }
        for (int i = bound; i < count; i++) {
            if (!dtype.holds(values[i])) {
                return false;
            }
        }
        return true;
    }

    @Override
    public void encode(Floats dtype, float[] values, int count, MemorySegment out) {
        if (dtype.bytes() != Short.BYTES) {
            dtype.encode(values, 0, count, out);
            return;
        }
        int bound = FLOATS.loopBound(count);
        try {
            long into = address(out, (long) count * dtype.bytes());
            if (dtype == Floats.BF16) {
                for (int i = 0; i < bound; i += LANES) {
                    store(
                            bfloat16(floats(values, i)).lanewise(VectorOperators.LSHR, 16),
                            into + (long) i * Short.BYTES);
                }
            } else {
                for (int i = 0; i < bound; i += LANES) {
                    store(toFloat16(floats(values, i)), into + (long) i * Short.BYTES);
                }
            }
        } finally {
            Reference.reachabilityFence(out);
        }
        for (int i = bound; i < count; i++) {
            dtype.setFloat(out, i, values[i]);
        }
    }

    private static void store(IntVector halves, long address) {
        ((ShortVector) halves.convertShape(VectorOperators.I2S, SHORTS, 0))
                .intoMemorySegment(MEMORY, address, ByteOrder.LITTLE_ENDIAN);
    }

    private static FloatVector start(boolean more, float[] sums, int at) {
        return more ? FloatVector.fromArray(FLOATS, sums, at) : FloatVector.zero(FLOATS);
    }

    /** @throws IllegalArgumentException if a segment is in the heap */
    @Override
    public void add(
            Floats dtype,
            Product sums,
            int rows,
            int columns,
            MemorySegment weight,
            MemorySegment out,
            NonFinite found) {
        long bytes = (long) rows * columns * dtype.bytes();
        int whole = dtype == Floats.F64 ? sums.first() : Math.clamp(columns / WIDTH, sums.first(), sums.end());
        int to = Math.min(columns, sums.end() * WIDTH);
        try {
            long from = address(weight, bytes);
            long into = address(out, bytes);
            long width = (long) columns * dtype.bytes();
            for (int row = 0; row < rows; row++) {
                addPanels(dtype, sums, row, whole, columns, from + row * width, into + row * width, weight, out, found);
                if (whole * WIDTH < to) {
                    ScalarKernels.add(dtype, sums, row, whole * WIDTH, to, columns, weight, out, found);
                }
            }
        } finally {
            Reference.reachabilityFence(weight);
            Reference.reachabilityFence(out);
        }
    }

    /** Of a weight of 16 bits, each panel's part of a row is a cache line. */
    private static void addPanels(
            Floats dtype,
            Product sums,
            int row,
            int end,
            int columns,
            long from,
            long into,
            MemorySegment weight,
            MemorySegment out,
            NonFinite found) {
        int at = sums.at(row, sums.first());
        for (int panel = sums.first(); panel < end; panel++) {
            int column = panel * WIDTH;
            long offset = (long) column * dtype.bytes();
            boolean done = switch (dtype) {
                case BF16 -> addBfloat16(sums.values(), at, from + offset, into + offset);
                case F16 -> addFloat16(sums.values(), at, from + offset, into + offset);
                default -> addFloat32(sums.values(), at, from + offset, into + offset);
            };
            if (!done) {
                ScalarKernels.add(dtype, sums, row, column, column + WIDTH, columns, weight, out, found);
            }
            at += Panels.ROWS * WIDTH;
        }
    }

    private static long address(MemorySegment segment, long bytes) {
        if (!segment.isNative() || segment.byteSize() < bytes) {
            throw new IllegalArgumentException("expected " + bytes + " bytes outside of the heap, found " + segment);
        }
        return segment.address();
    }

    /** As {@link #addBfloat16}. */
    private static boolean addFloat32(float[] sums, int at, long weight, long out) {
        FloatVector first = floats(weight).add(floats(sums, at));
        FloatVector second = floats(weight + (long) LANES * Float.BYTES).add(floats(sums, at + LANES));
        if (anyBeyond(first, second, FLOAT32_INFINITE)) {
            return false;
        }
        first.intoMemorySegment(MEMORY, out, ByteOrder.LITTLE_ENDIAN);
        second.intoMemorySegment(MEMORY, out + (long) LANES * Float.BYTES, ByteOrder.LITTLE_ENDIAN);
        return true;
    }

    /**
     * Whether a value, rounded, would be infinite or NaN. As integers, magnitudes of floats are in the order of their values,
     * with NaN above infinity: two masks, a maximum and one comparison for two vectors.
     *
     * @param least the bits of the smallest magnitude that rounds to infinity
     */
    private static boolean anyBeyond(FloatVector first, FloatVector second, int least) {
        IntVector one = first.reinterpretAsInts().and(MAGNITUDE);
        IntVector other = second.reinterpretAsInts().and(MAGNITUDE);
        return one.max(other).compare(VectorOperators.GE, least).anyTrue();
    }

    /** Returns false, and writes nothing, if an element is not finite: rare enough to be left to the scalar kernel. */
    private static boolean addBfloat16(float[] sums, int at, long weight, long out) {
        IntVector pairs = IntVector.fromMemorySegment(INTS, MEMORY, weight, ByteOrder.LITTLE_ENDIAN);
        FloatVector even =
                pairs.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats().add(floats(sums, at));
        FloatVector odd = pairs.and(HIGH).reinterpretAsFloats().add(floats(sums, at + LANES));
        if (anyBeyond(even, odd, BFLOAT16_INFINITE)) {
            return false;
        }
        bfloat16(even)
                .lanewise(VectorOperators.LSHR, 16)
                .or(bfloat16(odd).and(HIGH))
                .intoMemorySegment(MEMORY, out, ByteOrder.LITTLE_ENDIAN);
        return true;
    }

    /** The rounded value, in the high half of each integer; the low half is of no meaning. */
    private static IntVector bfloat16(FloatVector value) {
        IntVector bits = value.reinterpretAsInts();
        return bits.add(0x7fff).add(bits.lanewise(VectorOperators.LSHR, 16).and(1));
    }

    /** As {@link #addBfloat16}. */
    private static boolean addFloat16(float[] sums, int at, long weight, long out) {
        IntVector pairs = IntVector.fromMemorySegment(INTS, MEMORY, weight, ByteOrder.LITTLE_ENDIAN);
        FloatVector even = fromFloat16(pairs.and(0xffff)).add(floats(sums, at));
        FloatVector odd = fromFloat16(pairs.lanewise(VectorOperators.LSHR, 16)).add(floats(sums, at + LANES));
        if (anyBeyond(even, odd, FLOAT16_INFINITE)) {
            return false;
        }
        toFloat16(even)
                .or(toFloat16(odd).lanewise(VectorOperators.LSHL, 16))
                .intoMemorySegment(MEMORY, out, ByteOrder.LITTLE_ENDIAN);
        return true;
    }

    /** The exponent moves by a multiplication, which makes subnormal halves normal; infinity and NaN are set apart. */
    private static FloatVector fromFloat16(IntVector half) {
        IntVector magnitude = half.and(0x7fff).lanewise(VectorOperators.LSHL, 13);
        IntVector bits = magnitude.reinterpretAsFloats().mul(0x1p112f).reinterpretAsInts();
        VectorMask<Integer> infinite = magnitude.compare(VectorOperators.GE, 0x7c00 << 13);
        return bits.blend(magnitude.or(0x7f800000), infinite)
                .or(half.and(0x8000).lanewise(VectorOperators.LSHL, 16))
                .reinterpretAsFloats();
    }

    /** Rounds to nearest even; subnormal halves round in the addition of 1/2, whose last bit has their unit. */
    private static IntVector toFloat16(FloatVector value) {
        IntVector bits = value.reinterpretAsInts();
        IntVector magnitude = bits.and(0x7fffffff);
        IntVector odd = magnitude.lanewise(VectorOperators.LSHR, 13).and(1);
        IntVector normal = magnitude.add(((15 - 127) << 23) + 0xfff).add(odd).lanewise(VectorOperators.LSHR, 13);
        IntVector small =
                magnitude.reinterpretAsFloats().add(0.5f).reinterpretAsInts().sub(Float.floatToRawIntBits(0.5f));
        return normal.blend(small, magnitude.compare(VectorOperators.LT, 0x38800000))
                .blend(0x7c00, magnitude.compare(VectorOperators.GE, 0x47800000))
                .or(bits.lanewise(VectorOperators.LSHR, 16).and(0x8000));
    }

    private static FloatVector floats(float[] values, int at) {
        return FloatVector.fromArray(FLOATS, values, at);
    }

    private static FloatVector floats(long address) {
        return FloatVector.fromMemorySegment(FLOATS, MEMORY, address, ByteOrder.LITTLE_ENDIAN);
    }
}
