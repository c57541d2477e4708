package dev.adapt.formats.graph;

import java.util.Optional;

/**
 * The update of one linear layer as a product of low rank,
 * {@code ΔW = scale · diag(rows) · left · diag(inner) · right}, and, where the method has it, the magnitude that the rows of
 * the adapted weight get: it is then {@code diag(magnitude/‖W + ΔW‖) · (W + ΔW)}, the norm taken of each row, else
 * {@code W + ΔW}.
 *
 * <p>Training applies the factors to x one after the other, so that no gradient is spent on frozen factors and ΔW is
 * never formed; merging folds the diagonals and the scale into {@link #foldedLeft L} and {@link #foldedRight R}.
 *
 * @param left [out, k]
 * @param right [k, in]
 * @param rows [out], where the method has it
 * @param inner [k], where the method has it
 * @param magnitude [out], where the method has it
 */
public record LowRank<T>(T left, T right, Optional<T> rows, Optional<T> inner, double scale, Optional<T> magnitude) {
    /** A plain product {@code scale · left · right}. */
    public LowRank(T left, T right, double scale) {
        this(left, right, Optional.empty(), Optional.empty(), scale, Optional.empty());
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
    T applyLeft(Ops<T> ops, T product) {
        T hidden = inner.isPresent() ? ops.mul(product, inner.get()) : product;
        hidden = scale == 1 ? hidden : ops.affine(hidden, scale, 0);
        T y = ops.linear(hidden, left, Optional.empty());
        return rows.isPresent() ? ops.mul(y, rows.get()) : y;
    }

    /**
     * {@code magnitude/‖W + ΔW‖} [out], for a method with a magnitude. The norm is a constant to the gradient, as DoRA
     * (Liu et al., arXiv 2402.09353, section 4.3) has it.
     *
     * @param weight W [out, in]
     */
    public T rowScale(Ops<T> ops, T weight) {
        T product = ops.matMul(ops.stopGradient(foldedLeft(ops)), ops.stopGradient(foldedRight(ops)));
        T whole = ops.add(weight, product);
        T norm = ops.reshape(ops.sqrt(ops.sum(ops.mul(whole, whole), 1)), -1);
        return ops.div(magnitude.orElseThrow(), norm);
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
