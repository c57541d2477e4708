package dev.adapt.merge.lowrank;

import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.Arrays;
import java.util.random.RandomGenerator;

/**
 * The directions a matrix writes to, strongest first.
 *
 * @param basis its left singular vectors, [d, k]
 */
public record Subspace(DoubleTensor basis) {
    /**
     * Of the columns of a matrix [d, k].
     *
     * @throws ArithmeticException if the matrix is 0 or holds what is no number
     */
    public static Subspace of(DoubleTensor matrix) {
        return of(Svd.of(matrix));
    }

    /** Of what a decomposition was made of. */
    public static Subspace of(Svd svd) {
        if (svd.values().length == 0 || svd.values()[0] == 0) {
            throw new ArithmeticException("it is 0, and has no directions");
        }
        return new Subspace(svd.left());
    }

    /** Of a matrix whose elements are normal: any directions. */
    public static Subspace random(int d, int k, RandomGenerator random) {
        double[] values = new double[Math.multiplyExact(d, k)];
        Arrays.setAll(values, i -> random.nextGaussian());
        return of(new DoubleTensor(Shape.of(d, k), values));
    }

    /** How many directions it has. */
    public int rank() {
        return Math.toIntExact(basis.shape().dim(1));
    }

    /**
     * {@code φ(X, Y, i, j) = ‖Uᵢᵀ·Vⱼ‖²/min(i, j)} of its first i directions and the first j of another (Hu et al., arXiv
     * 2106.09685, equation 4): 1 where the smaller lies within the larger, 0 where they are orthogonal.
     */
    public double similarity(Subspace other, int i, int j) {
        ReferenceOps ops = new ReferenceOps();
        DoubleTensor products =
                ops.matMul(ops.transpose(ops.slice(basis, 1, 0, i), 1, 0), ops.slice(other.basis, 1, 0, j));
        return Arrays.stream(products.values()).map(value -> value * value).sum() / Math.min(i, j);
    }
}
