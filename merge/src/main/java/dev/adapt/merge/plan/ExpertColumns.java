package dev.adapt.merge.plan;

import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.Deque;

/**
 * Left factors of stacks of experts, [rows, k·experts], in which the expert is the fastest index: as they are stored, the
 * columns of one expert lie in all pages of the factor, and reading them for each expert would read it all so many times. It
 * is read once and kept by expert, for as long as its stack is merged.
 */
final class ExpertColumns {
    /** Factors that are kept: those of neighbouring stacks, which are merged at once. */
    private static final int KEPT = 3;

    /** Elements that are read at a time. */
    private static final int CHUNK = 1 << 16;

    private final Deque<Sorted> kept = new ArrayDeque<>();

    /** A factor by expert, [experts, rows, k]. */
    private record Sorted(Tensor source, Tensor byExpert) {}

    /** The columns of one expert, [rows, k]. */
    Tensor of(Tensor source, int expert, int experts) {
        Tensor byExpert = byExpert(source, experts);
        Shape shape = Shape.of(byExpert.shape().dim(1), byExpert.shape().dim(2));
        return new MatrixView(byExpert, expert * shape.elements(), shape);
    }

    // the same tensor, which is cheaper to tell than an equal one
    @SuppressWarnings("ReferenceEquality")
    private synchronized Tensor byExpert(Tensor source, int experts) {
        for (Sorted each : kept) {
            if (each.source() == source) {
                return each.byExpert();
            }
        }
        Tensor byExpert = sorted(source, experts);
        kept.addFirst(new Sorted(source, byExpert));
        if (kept.size() > KEPT) {
            kept.removeLast();
        }
        return byExpert;
    }

    private static Tensor sorted(Tensor source, int experts) {
        int elements = Math.toIntExact(source.shape().elements());
        int rows = Math.toIntExact(source.shape().dim(0));
        float[] values = new float[elements];
        double[] some = new double[Math.min(CHUNK, elements)];
        int each = elements / experts;
        for (int from = 0; from < elements; from += some.length) {
            int count = Math.min(some.length, elements - from);
            source.read(from, some, 0, count);
            scatter(some, count, from, experts, each, values);
        }
        return new FloatTensor(Shape.of(experts, rows, each / Math.max(1, rows)), values);
    }

    private static void scatter(double[] some, int count, int from, int experts, int each, float[] values) {
        for (int i = 0; i < count; i++) {
            int index = from + i;
            values[index % experts * each + index / experts] = (float) some[i];
        }
    }
}
