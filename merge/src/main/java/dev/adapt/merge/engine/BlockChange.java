package dev.adapt.merge.engine;

import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.Region;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.merge.kernel.Floats;
import dev.adapt.merge.kernel.Kernels;
import dev.adapt.merge.kernel.Lane;
import dev.adapt.merge.kernel.NonFinite;
import dev.adapt.merge.kernel.Panels;
import dev.adapt.merge.kernel.Strided;
import dev.adapt.merge.plan.FactorOps;
import dev.adapt.merge.plan.Held;
import dev.adapt.merge.plan.MergePlan;
import dev.adapt.merge.plan.TileOps;
import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * Changes of a weight that are no sum of products of low rank, computed block by block: a block of the weight is widened,
 * changed, and rounded once.
 */
record BlockChange(Kernels kernels, Held held, Target target, Floats dtype, List<Weighted> changes) {
    /** Elements that are changed at a time: few enough for all that is computed of them to stay in the second-level cache. */
    private static final int BLOCK = 1 << 15;

    /** A change, and what its ΔW is multiplied by; 1 where it is not additive. */
    private record Weighted(WeightChange<Tensor> change, double weight) {}

    static BlockChange of(MergePlan.Task.Adapt task, Kernels kernels) {
        return new BlockChange(
                kernels,
                new Held(),
                task.target(),
                Floats.of(task.place().dtype()),
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
    void apply(int row, int rows, Lane lane, MemorySegment weight, MemorySegment out, NonFinite nonFinite) {
        long width = (long) columns() * dtype.bytes();
        int some = Math.min(blockRows(), rows);
        for (int done = 0; done < rows; done += some) {
            int count = Math.min(some, rows - done);
            MemorySegment before = weight.asSlice(done * width, count * width);
            MemorySegment after = out.asSlice(done * width, count * width);
            if (dtype == Floats.F64) {
                encode(changed(new FactorOps(), row + done, decoded(count, before)), before, after, nonFinite);
            } else {
                TileOps ops = tileOps(lane);
                Tensor changed = changed(ops, row + done, decoded(count, lane, before));
                encode(ops.floats(changed), count * columns(), before, after, nonFinite);
            }
        }
    }

    /** The same rows, before they are rounded to the weight's dtype. */
    float[] changed(int row, int rows, Lane lane, MemorySegment weight) {
        if (dtype == Floats.F64) {
            return changed(new FactorOps(), row, decoded(rows, weight)).toFloats();
        }
        float[] all = new float[Math.multiplyExact(rows, columns())];
        int some = Math.min(blockRows(), rows);
        for (int done = 0; done < rows; done += some) {
            int count = Math.min(some, rows - done);
            long width = (long) columns() * dtype.bytes();
            TileOps ops = tileOps(lane);
            Tensor block = decoded(count, lane, weight.asSlice(done * width, count * width));
            float[] changed = ops.floats(changed(ops, row + done, block));
            System.arraycopy(changed, 0, all, done * columns(), count * columns());
        }
        return all;
    }

    private TileOps tileOps(Lane lane) {
        lane.scratch().reset();
        return new TileOps(kernels, held, lane.scratch());
    }

    /** Columns of the weight as it is stored. */
    private int columns() {
        return target.transposed() ? target.out() : target.in();
    }

    /** How many rows, as they are stored, are changed at a time. */
    private int blockRows() {
        return runs(
                changes.stream()
                        .map(each -> each.change().scope())
                        .reduce(new Delta.Scope(Panels.ROWS, false), Delta.Scope::and),
                target,
                BLOCK);
    }

    /**
     * How many rows, as a weight is stored, are changed together: whole runs of a scope, as many as make up a number of
     * elements, at least one.
     */
    static int runs(Delta.Scope scope, Target target, int elements) {
        int rows = target.transposed() ? target.in() : target.out();
        int columns = target.transposed() ? target.out() : target.in();
        if (target.transposed() && scope.across()) {
            return rows;
        }
        long run = target.transposed() ? Panels.ROWS : scope.rows();
        return Math.toIntExact(Math.min(Panels.padded(rows), Math.max(1, elements / Math.max(1, columns) / run) * run));
    }

    private void encode(Tensor changed, MemorySegment weight, MemorySegment out, NonFinite nonFinite) {
        double[] values = DoubleTensor.of(changed).values();
        for (int i = 0; i < values.length; i++) {
            if (!Double.isFinite(values[i])) {
                nonFinite.add(dtype.get(weight, i), values[i]);
            }
            dtype.set(out, i, values[i]);
        }
    }

    private void encode(float[] values, int count, MemorySegment weight, MemorySegment out, NonFinite nonFinite) {
        if (kernels.areHeld(dtype, values, count)) {
            kernels.encode(dtype, values, count, out);
            return;
        }
        for (int i = 0; i < count; i++) {
            if (!dtype.holds(values[i])) {
                nonFinite.add(dtype.getFloat(weight, i), values[i]);
            }
        }
        dtype.encode(values, 0, count, out);
    }

    private Strided decoded(int rows, Lane lane, MemorySegment weight) {
        Strided block = lane.scratch().rowMajor(rows, columns());
        kernels.decode(dtype, weight, block.values(), block.elements());
        return block;
    }

    private DoubleTensor decoded(int rows, MemorySegment weight) {
        double[] values = new double[Math.multiplyExact(rows, columns())];
        for (int i = 0; i < values.length; i++) {
            values[i] = dtype.get(weight, i);
        }
        return new DoubleTensor(Shape.of(rows, columns()), values);
    }

    /**
     * Rows of the changed weight, as they are stored.
     *
     * @param row the first of them
     * @param stored the base's
     */
    private Tensor changed(MatrixOps<Tensor> ops, int row, Tensor stored) {
        int rows = Math.toIntExact(stored.shape().dim(0));
        if (!target.transposed()) {
            return changed(ops, stored, new Region(row, rows, 0, target.in()));
        }
        Region region = new Region(0, target.out(), row, rows);
        return ops.transpose(changed(ops, ops.transpose(stored, 1, 0), region), 1, 0);
    }

    private Tensor changed(MatrixOps<Tensor> ops, Tensor upright, Region region) {
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
}
