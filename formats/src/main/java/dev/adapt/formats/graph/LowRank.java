package dev.adapt.formats.graph;

import java.util.Optional;

/**
 * The update of one linear layer as a product of low rank,
 * {@code ΔW = scale · diag(rows) · left · diag(inner) · right}.
 *
 * <p>Training applies the factors to x one after the other, so that no gradient is spent on frozen factors and ΔW is
 * never formed; merging folds the diagonals and the scale into {@link #foldedLeft L} and {@link #foldedRight R}.
 *
 * @param left [out, k]
 * @param right [k, in]
 * @param rows [out], where the method has it
 * @param inner [k], where the method has it
 */
public record LowRank<T>(T left, T right, Optional<T> rows, Optional<T> inner, double scale) {
    /** A plain product {@code scale · left · right}. */
    public LowRank(T left, T right, double scale) {
        this(left, right, Optional.empty(), Optional.empty(), scale);
    }

    /** {@code x·ΔWᵀ}: x [.., in], the result [.., out]. */
    public T apply(Ops<T> ops, T x) {
        T hidden = ops.linear(x, right, Optional.empty());
        hidden = inner.isPresent() ? ops.mul(hidden, inner.get()) : hidden;
        hidden = scale == 1 ? hidden : ops.affine(hidden, scale, 0);
        T y = ops.linear(hidden, left, Optional.empty());
        return rows.isPresent() ? ops.mul(y, rows.get()) : y;
    }

    /** {@code L = scale · diag(rows) · left}, [out, k], so that {@code ΔW = L·R}. */
    public T foldedLeft(Ops<T> ops) {
        T folded = rows.isPresent() ? ops.mul(ops.reshape(rows.get(), -1, 1), left) : left;
        return scale == 1 ? folded : ops.affine(folded, scale, 0);
    }

    /** {@code R = diag(inner) · right}, [k, in], so that {@code ΔW = L·R}. */
    public T foldedRight(Ops<T> ops) {
        return inner.isPresent() ? ops.mul(ops.reshape(inner.get(), -1, 1), right) : right;
    }
}
