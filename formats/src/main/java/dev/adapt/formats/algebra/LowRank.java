package dev.adapt.formats.algebra;

import java.util.Optional;

/**
 * {@code W + ΔW} for a product of low rank, {@code ΔW = scale · diag(rows) · left · diag(inner) · right}.
 *
 * <p>Training applies the factors to x one after the other, so that no gradient is spent on frozen factors and ΔW is
 * never formed; merging folds the diagonals and the scale into {@link #foldedLeft L} and {@link #foldedRight R}.
 *
 * @param left [out, k]
 * @param right [k, in]
 * @param rows [out], where the method has it
 * @param inner [k], where the method has it
 */
public record LowRank<T>(T left, T right, Optional<T> rows, Optional<T> inner, double scale) implements Delta<T> {
    /** A plain product {@code scale · left · right}. */
    public LowRank(T left, T right, double scale) {
        this(left, right, Optional.empty(), Optional.empty(), scale);
    }

    /** {@code x·ΔWᵀ}: x [.., in], the result [.., out]. */
    public T apply(Ops<T> ops, T x) {
        return applyLeft(ops, ops.linear(x, right, Optional.empty()));
    }

    /** {@code x·ΔWᵀ} for one-hot x, given as integer ids [..]: the update of an embedding's rows, [.., out]. */
    public T lookUp(Ops<T> ops, T ids) {
        return applyLeft(ops, ops.embedding(ops.transpose(right, 1, 0), ids));
    }

    /** {@code x·ΔWᵀ} [.., out], given {@code product = x·rightᵀ} [.., k]. */
    public T applyLeft(Ops<T> ops, T product) {
        T hidden = inner.isPresent() ? ops.mul(product, inner.get()) : product;
        hidden = scale == 1 ? hidden : ops.affine(hidden, scale, 0);
        T y = ops.linear(hidden, left, Optional.empty());
        return rows.isPresent() ? ops.mul(y, rows.get()) : y;
    }

    /** {@code L = scale · diag(rows) · left}, [out, k], so that {@code ΔW = L·R}. */
    public T foldedLeft(MatrixOps<T> ops) {
        T folded = rows.isPresent() ? ops.mul(ops.reshape(rows.get(), -1, 1), left) : left;
        return scale == 1 ? folded : ops.affine(folded, scale, 0);
    }

    /** {@code R = diag(inner) · right}, [k, in], so that {@code ΔW = L·R}. */
    public T foldedRight(MatrixOps<T> ops) {
        return inner.isPresent() ? ops.mul(ops.reshape(inner.get(), -1, 1), right) : right;
    }

    /** ΔW in a region. */
    T block(MatrixOps<T> ops, Region region) {
        return ops.matMul(
                ops.slice(foldedLeft(ops), 0, region.row(), region.rowEnd()),
                ops.slice(foldedRight(ops), 1, region.column(), region.columnEnd()));
    }
}
