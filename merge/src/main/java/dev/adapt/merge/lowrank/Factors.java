package dev.adapt.merge.lowrank;

import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.tensor.DoubleTensor;
import java.util.Arrays;

/**
 * An update of one layer as a product of low rank, {@code ΔW = left·right}, in float64.
 *
 * @param left L, [out, rank]: LoRA's B
 * @param right R, [rank, in]: LoRA's A
 */
public record Factors(DoubleTensor left, DoubleTensor right) {
    public Factors {
        if (left.shape().rank() != 2
                || right.shape().rank() != 2
                || left.shape().dim(1) != right.shape().dim(0)) {
            throw new IllegalArgumentException(left.shape() + " times " + right.shape() + " is no product");
        }
    }

    /** The number of columns of L. */
    public int rank() {
        return Math.toIntExact(right.shape().dim(0));
    }

    /** The layer's outputs. */
    public int out() {
        return Math.toIntExact(left.shape().dim(0));
    }

    /** The layer's inputs. */
    public int in() {
        return Math.toIntExact(right.shape().dim(1));
    }

    /** The same of the layer whose weight is the transpose: {@code ΔWᵀ = Rᵀ·Lᵀ}. */
    public Factors transposed() {
        ReferenceOps ops = new ReferenceOps();
        return new Factors(ops.transpose(right, 1, 0), ops.transpose(left, 1, 0));
    }

    /** ΔW, row by row, never held whole. */
    public Rows delta() {
        Factors own = this;
        return new Rows() {
            @Override
            public int rows() {
                return out();
            }

            @Override
            public int columns() {
                return in();
            }

            @Override
            public void read(int row, double[] into, int at) {
                own.row(row, into, at);
            }
        };
    }

    private void row(int row, double[] into, int at) {
        int k = rank();
        int in = in();
        Arrays.fill(into, at, at + in, 0);
        for (int p = 0; p < k; p++) {
            double factor = left.values()[row * k + p];
            int from = p * in;
            for (int i = 0; i < in; i++) {
                into[at + i] += factor * right.values()[from + i];
            }
        }
    }
}
