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
import java.util.List;

/**
 * Changes of a weight that are no sum of products of low rank, computed block by block: a block of the weight is widened,
 * changed, and rounded once.
 */
record BlockChange(MatrixOps<Tensor> ops, Target target, Floats dtype, List<Weighted> changes) {
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
            for (int i = 0; i < values.length; i++) {
                if (!dtype.holds(values[i])) {
                    nonFinite.add(dtype.getFloat(weight, i), values[i]);
                }
            }
            dtype.encode(values, 0, values.length, out);
        }
    }

    /** The same rows, before they are rounded to the weight's dtype. */
    float[] changed(int row, int rows, MemorySegment weight) {
        return stored(row, rows, weight).toFloats();
    }

    private Tensor stored(int row, int rows, MemorySegment weight) {
        boolean turned = target.transposed();
        Region region = turned ? new Region(0, target.out(), row, rows) : new Region(row, rows, 0, target.in());
        int columns = turned ? target.out() : target.in();
        Tensor block = decoded(weight, rows, columns);
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
        dtype.decode(weight, 0, values, values.length);
        return new FloatTensor(shape, values);
    }
}
