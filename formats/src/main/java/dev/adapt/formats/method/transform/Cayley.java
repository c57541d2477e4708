package dev.adapt.formats.method.transform;

import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.Arrays;
import java.util.List;

/** Rotations of skew-symmetric matrices Q [count, n, n], by Cayley's transform. */
final class Cayley {
    private Cayley() {}

    /** Skew-symmetric matrices [count, n, n] of the elements above their diagonals, row by row, [count, n·(n-1)/2]. */
    static <T> T skew(MatrixOps<T> ops, T upper, int count, int n) {
        int elements = n * (n - 1) / 2;
        long[] from = new long[n * n];
        Arrays.fill(from, elements);
        int next = 0;
        for (int row = 0; row < n; row++) {
            for (int column = row + 1; column < n; column++) {
                from[row * n + column] = next++;
            }
        }
        T zero = ops.constant(new FloatTensor(Shape.of(1, count), new float[count]));
        T table = ops.concat(0, List.of(ops.transpose(upper, 1, 0), zero));
        T above = ops.reshape(ops.transpose(ops.embedding(table, ops.integers(from)), 1, 0), count, n, n);
        return ops.subtract(above, ops.transpose(above, 0, 2, 1));
    }

    /** {@code (I - Q)·(I + Q)⁻¹}. */
    static <T> T exact(MatrixOps<T> ops, T q, int count, int n) {
        T identity = ops.identity(count, n);
        return ops.matMul(ops.subtract(identity, q), ops.inverse(ops.add(identity, q), count, n));
    }

    /**
     * {@code I + 2·Q + … + 2·Qᵏ⁻¹ + Qᵏ}, Neumann's series of {@code (I + Q)·(I - Q)⁻¹} cut as PEFT does.
     *
     * @param terms k + 1, where that is more than 2; 2 terms are {@code I + 2·Q} and one is I
     */
    static <T> T neumann(MatrixOps<T> ops, T q, int count, int n, int terms) {
        T identity = ops.identity(count, n);
        if (terms == 1) {
            return identity;
        }
        T sum = ops.add(identity, ops.affine(q, 2, 0));
        T power = q;
        for (int term = 2; terms > 2 && term < Math.max(3, terms - 1); term++) {
            power = ops.matMul(power, q);
            sum = ops.add(sum, ops.affine(power, 2, 0));
        }
        return terms > 2 ? ops.add(sum, ops.matMul(power, q)) : sum;
    }
}
