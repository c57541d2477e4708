package dev.adapt.formats.method.lowrank;

import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.method.random.Rounding;
import dev.adapt.formats.method.random.TorchRandom;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Inverse;
import dev.adapt.formats.tensor.Shape;
import java.util.Optional;

/**
 * The subspace in which {@code torch.svd_lowrank} (Halko, Martinsson and Tropp, arXiv 0909.4061, algorithm 5.1) looks for the
 * first singular vectors of a matrix [out, in], and with it the left vectors up to a rotation, which no distance between their
 * rows depends on.
 */
final class Subspace {
    /** Power iterations that AdaMSS asks for. */
    private static final int ITERATIONS = 2;

    /** Bases whose mean squared cosine is less do not span one subspace. */
    private static final double SAME = 0.999;

    private final ReferenceOps ops = new ReferenceOps();
    private final DoubleTensor matrix;
    private final DoubleTensor turned;
    private final boolean tall;

    Subspace(DoubleTensor matrix) {
        this.matrix = matrix;
        this.turned = ops.transpose(matrix, 1, 0);
        this.tall = matrix.shape().dim(0) >= matrix.shape().dim(1);
    }

    /**
     * The left vectors as torch finds them from a seed on a CPU.
     *
     * @param right [r, in], the right vectors that were found
     * @return [out, r], or nothing where the seed leads to other right vectors
     */
    Optional<DoubleTensor> left(long seed, DoubleTensor right) {
        DoubleTensor a = tall ? matrix : turned;
        DoubleTensor b = tall ? turned : matrix;
        int r = Math.toIntExact(right.shape().dim(0));
        int width = Math.toIntExact(a.shape().dim(1));
        float[] random = new TorchRandom(seed).normal(Math.multiplyExact(width, r), 1, Rounding.FMA);
        DoubleTensor basis = orthonormal(ops.matMul(a, DoubleTensor.of(new FloatTensor(Shape.of(width, r), random))));
        for (int i = 0; i < ITERATIONS; i++) {
            basis = orthonormal(ops.matMul(b, basis));
            basis = orthonormal(ops.matMul(a, basis));
        }
        DoubleTensor other = orthonormal(ops.matMul(b, basis));
        double same = 0;
        for (double cosine : ops.matMul(right, tall ? other : basis).values()) {
            same += cosine * cosine;
        }
        return same >= SAME * r ? Optional.of(tall ? basis : other) : Optional.empty();
    }

    /**
     * The left vectors that belong to right ones: {@code W·Vᵀ} of a wide matrix; of a tall one those of which {@code Wᵀ} makes
     * V, {@code W·(WᵀW)⁻¹·Vᵀ}, which is less accurate the nearer the matrix is to a singular one.
     */
    Optional<DoubleTensor> left(DoubleTensor right) {
        DoubleTensor vectors = ops.transpose(right, 1, 0);
        return (tall
                        ? Inverse.of(ops.matMul(turned, matrix)).map(inverse -> ops.matMul(inverse, vectors))
                        : Optional.of(vectors))
                .map(own -> orthonormal(ops.matMul(matrix, own)));
    }

    /** Columns made orthonormal, by Gram-Schmidt twice over; those that depend on others become 0. */
    private static DoubleTensor orthonormal(DoubleTensor columns) {
        int rows = Math.toIntExact(columns.shape().dim(0));
        int count = Math.toIntExact(columns.shape().dim(1));
        double[][] done = new double[count][rows];
        for (int k = 0; k < count; k++) {
            for (int i = 0; i < rows; i++) {
                done[k][i] = columns.values()[i * count + k];
            }
            double length = Math.sqrt(dot(done[k], done[k]));
            for (int pass = 0; pass < 2; pass++) {
                for (int j = 0; j < k; j++) {
                    subtract(done[k], done[j], dot(done[k], done[j]));
                }
            }
            double left = Math.sqrt(dot(done[k], done[k]));
            double scale = left > 1e-12 * length ? 1 / left : 0;
            for (int i = 0; i < rows; i++) {
                done[k][i] *= scale;
            }
        }
        double[] values = new double[rows * count];
        for (int k = 0; k < count; k++) {
            for (int i = 0; i < rows; i++) {
                values[i * count + k] = done[k][i];
            }
        }
        return new DoubleTensor(columns.shape(), values);
    }

    private static double dot(double[] a, double[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            sum += a[i] * b[i];
        }
        return sum;
    }

    private static void subtract(double[] a, double[] b, double times) {
        for (int i = 0; i < a.length; i++) {
            a[i] -= times * b[i];
        }
    }
}
