package dev.adapt.merge;

import dev.adapt.formats.graph.MatrixOps;
import dev.adapt.formats.graph.Region;
import dev.adapt.formats.graph.WeightChange;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.List;

/**
 * Changes of a weight that are no sum of products of low rank, computed block by block: a block of the weight is widened,
 * changed, and rounded once.
 */
record BlockChange(MatrixOps<Tensor> ops, Target target, Floats dtype, List<Weighted> changes) {
    private static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** Elements that are changed at a time: few enough for all that is computed of them to stay in the second-level cache. */
    private static final int BLOCK = 1 << 15;

    /** A change, and what its ΔW is multiplied by; 1 where it is not additive. */
    private record Weighted(WeightChange<Tensor> change, double weight) {}

    static BlockChange of(MergePlan.Task.Adapt task) {
        Floats dtype = Floats.of(task.place().dtype());
        return new BlockChange(
                dtype == Floats.F64 ? new FactorOps() : new TileOps(),
                task.target(),
                dtype,
                task.parts().stream()
                        .map(part -> new Weighted(part.change(task.weight()), part.weight()))
                        .toList());
    }

    /**
     * Changes some rows of the weight as it is stored.
     *
     * @param weight the base's bytes of those rows
     * @param out where the result goes; may be {@code weight}
     * @param nonFinite counts elements that come out NaN or infinite
     */
    void apply(int row, int rows, MemorySegment weight, MemorySegment out, NonFinite nonFinite) {
        int columns = columns();
        int some = isWhole() ? rows : Math.clamp(BLOCK / Math.max(1, columns), 1, rows);
        long width = (long) columns * dtype.bytes();
        for (int done = 0; done < rows; done += some) {
            int count = Math.min(some, rows - done);
            applyBlock(
                    row + done,
                    count,
                    weight.asSlice(done * width, count * width),
                    out.asSlice(done * width, count * width),
                    nonFinite);
        }
    }

    /** Whether rows as they are stored cannot be changed one by one. */
    private boolean isWhole() {
        return changes.stream().anyMatch(each -> each.change().scope().isWhole(target.transposed()));
    }

    private int columns() {
        return Math.toIntExact(target.storedShape().dim(1));
    }

    private void applyBlock(int row, int rows, MemorySegment weight, MemorySegment out, NonFinite nonFinite) {
        Tensor changed = stored(row, rows, weight);
        if (dtype == Floats.F64) {
            double[] values = DoubleTensor.of(changed).values();
            for (int i = 0; i < values.length; i++) {
                if (!Double.isFinite(values[i])) {
                    nonFinite.add(dtype.get(weight, i), values[i]);
                }
                dtype.set(out, i, values[i]);
            }
        } else {
            float[] values = changed.toFloats();
            if (dtype == Floats.BF16 && areFinite(values)) {
                encode(values, out);
                return;
            }
            for (int i = 0; i < values.length; i++) {
                if (!dtype.holds(values[i])) {
                    nonFinite.add(dtype.getFloat(weight, i), values[i]);
                }
            }
            dtype.encode(values, 0, values.length, out);
        }
    }

    // loops over arrays alone, without branches: the compiler vectorises those

    /** Whether all are finite once they are rounded to bfloat16. */
    private static boolean areFinite(float[] values) {
        int largest = 0;
        for (int i = 0; i < values.length; i++) {
            largest = Math.max(largest, Float.floatToRawIntBits(values[i]) & Integer.MAX_VALUE);
        }
        return largest < Float.floatToRawIntBits(Floats.BF16.overflow());
    }

    /** Finite values as bfloat16, rounded to nearest even. */
    private static void encode(float[] values, MemorySegment out) {
        short[] rounded = new short[values.length];
        for (int i = 0; i < values.length; i++) {
            int bits = Float.floatToRawIntBits(values[i]);
            rounded[i] = (short) ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16);
        }
        MemorySegment.copy(rounded, 0, out, SHORT, 0, rounded.length);
    }

    private static void decode(MemorySegment weight, float[] values) {
        short[] stored = new short[values.length];
        MemorySegment.copy(weight, SHORT, 0, stored, 0, stored.length);
        for (int i = 0; i < values.length; i++) {
            values[i] = Float.intBitsToFloat(stored[i] << 16);
        }
    }

    /** The same rows, before they are rounded to the weight's dtype. */
    float[] changed(int row, int rows, MemorySegment weight) {
        return stored(row, rows, weight).toFloats();
    }

    private Tensor stored(int row, int rows, MemorySegment weight) {
        boolean turned = target.transposed();
        Region region = turned ? new Region(0, target.out(), row, rows) : new Region(row, rows, 0, target.in());
        Tensor block = decoded(weight, rows, columns());
        Tensor upright = turned ? ops.transpose(block, 1, 0) : block;
        Tensor changed = changed(upright, region);
        return turned ? ops.transpose(changed, 1, 0) : changed;
    }

    private Tensor changed(Tensor upright, Region region) {
        if (changes.size() == 1 && !changes.getFirst().change().isAdditive()) {
            return changes.getFirst().change().changed(ops, upright, region);
        }
        Tensor sum = upright;
        for (Weighted each : changes) {
            Tensor added = each.change().added(ops, region);
            sum = ops.add(sum, each.weight() == 1 ? added : ops.affine(added, each.weight(), 0));
        }
        return sum;
    }

    private Tensor decoded(MemorySegment weight, int rows, int columns) {
        Shape shape = Shape.of(rows, columns);
        if (dtype == Floats.F64) {
            double[] values = new double[rows * columns];
            for (int i = 0; i < values.length; i++) {
                values[i] = dtype.get(weight, i);
            }
            return new DoubleTensor(shape, values);
        }
        float[] values = new float[rows * columns];
        if (dtype == Floats.BF16) {
            decode(weight, values);
        } else {
            dtype.decode(weight, 0, values, values.length);
        }
        return new FloatTensor(shape, values);
    }
}
