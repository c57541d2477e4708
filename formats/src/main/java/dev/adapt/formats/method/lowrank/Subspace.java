package dev.adapt.formats.method.lowrank;

import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.method.random.Rounding;
import dev.adapt.formats.method.random.TorchRandom;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Inverse;
import dev.adapt.formats.tensor.Orthonormal;
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

    /** The share of a direction that is left where it depends on others, by float64's rounding. */
    private static final double DEPENDENT = 1e-12;

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
        DoubleTensor first = DoubleTensor.of(new FloatTensor(Shape.of(width, r), random));
        DoubleTensor basis = Orthonormal.of(ops.matMul(a, first), DEPENDENT);
        for (int i = 0; i < ITERATIONS; i++) {
            basis = Orthonormal.of(ops.matMul(b, basis), DEPENDENT);
            basis = Orthonormal.of(ops.matMul(a, basis), DEPENDENT);
        }
        DoubleTensor other = Orthonormal.of(ops.matMul(b, basis), DEPENDENT);
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
                .map(own -> Orthonormal.of(ops.matMul(matrix, own), DEPENDENT));
    }
}
