package dev.adapt.formats.algebra;

import dev.adapt.formats.tensor.FloatTensor;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;

/**
 * The algebra in which every architecture and every adapter method is written once. Its interpreters are DJL arrays
 * (training, evaluation), ONNX nodes (export) and float64 Java arrays (the oracle of tests and of verification).
 *
 * <p>Two-operand arithmetic broadcasts as NumPy does. Axes count from 0. Tensors hold floating-point numbers or integers
 * (ids, masks, positions); the two never meet in one operation.
 *
 * @param <T> a tensor, or the promise of one
 */
public interface Ops<T> extends MatrixOps<T> {
    /** {@code x·weightᵀ + bias}: x [.., in], weight [out, in], bias [out]; the result is [.., out]. */
    T linear(T x, T weight, Optional<T> bias);

    /** {@link #linear} with a weight stored [in, out], as GPT-2's Conv1D has it. */
    default T conv1d(T x, T weight, Optional<T> bias) {
        T product = matMul(x, weight);
        return bias.isPresent() ? add(product, bias.get()) : product;
    }

    /** Normalises the last axis to mean 0 and (biased) variance 1, then scales by weight and adds bias, both [last]. */
    T layerNorm(T x, T weight, T bias, double epsilon);

    /** {@code x / √(mean(x²) + ε)·weight} over the last axis (Zhang and Sennrich, arXiv 1910.07467); weight is [last]. */
    T rmsNorm(T x, T weight, double epsilon);

    /** For ids [batch, sequence]: the integers 0 to sequence - 1, as [1, sequence] or once for each of the batch. */
    T positions(T ids);

    /** Integers as floating-point numbers. */
    T toFloat(T integers);

    /** An integer vector of one value. */
    default T integer(long value) {
        return integers(value);
    }

    /** An integer's negative. */
    default T negate(T integers) {
        return mul(integers, integer(-1));
    }

    /** 0 for 1 and 1 for 0, as integers. */
    default T not(T integers) {
        return add(negate(integers), integer(1));
    }

    /** Each integer, or the bound that it is beyond. */
    default T clampIntegers(T integers, long low, long high) {
        T least = integer(low);
        T most = integer(high);
        T below = lessOrEqual(integers, least);
        T above = lessOrEqual(most, integers);
        T within = mul(not(below), not(above));
        return add(mul(integers, within), add(mul(least, below), mul(most, above)));
    }

    /** Integers of a list, by integers from 0 on that are their places in it. */
    T lookUp(long[] values, T places);

    /**
     * For each row its own choice of columns: element (i, j) of the result is element (i, columns[i, j]) of x.
     *
     * @param x [batch, heads, rows, n]
     * @param columns integers [1, rows, m]
     * @return [batch, heads, rows, m]
     */
    T pick(T x, T columns);

    /** 1 where two integers are equal, else 0, as integers. */
    T equal(T left, T right);

    /** 1 where an integer is at most another, else 0, as integers. */
    T lessOrEqual(T left, T right);

    /** Running sums of integers along an axis: element i is the sum of elements 0 to i. */
    T cumSum(T integers, int axis);

    /** The last columns of x [.., n], as many as {@code like} [.., m] has; the result is [.., m]. */
    T tail(T x, T like);

    /** The natural logarithm, element by element. */
    T log(T x);

    /** The largest of all integers, as one number. */
    T max(T integers);

    /** The largest numbers along an axis, which stays with size 1. */
    T maximum(T x, int axis);

    /** Each element, or the bound that it is beyond. */
    T clamp(T x, double low, double high);

    /** 1 for the {@code count} largest numbers of the last axis, else 0, as numbers; no gradient flows through it. */
    T largest(T x, int count);

    /**
     * Integer positions [batch, sequence] times frequencies [width], in radians, [batch, sequence, width]. Every
     * interpreter rounds the product to float32, in which models are trained: far into a sequence that moves an angle by
     * more than the tolerance of any comparison.
     */
    T angles(T positions, T frequencies);

    /** The same with frequencies that do not depend on the inputs. */
    default T angles(T positions, FloatTensor frequencies) {
        return angles(positions, constant(frequencies));
    }

    /**
     * One layer of a stack. An interpreter that computes may forget what the layer computes on the way as soon as it has the
     * result, so the layer must leave nothing behind but that; what layers share is made by {@link #shared}.
     */
    default T layer(T states, UnaryOperator<T> layer) {
        return layer.apply(states);
    }

    /** What is computed in one layer and used in others too. */
    default <R> R shared(Supplier<R> value) {
        return value.get();
    }

    /** While training, zeroes elements with the given probability and scales the others up; otherwise x itself. */
    default T dropout(T x, double probability) {
        return x;
    }

    /** For integers 1 and 0: the number 0 where there is 1, the lowest finite number where there is 0. */
    default T attentionBias(T kept) {
        return affine(toFloat(kept), Float.MAX_VALUE, -Float.MAX_VALUE);
    }

    /**
     * Rotates the pairs of a head's elements i and i + width/2 by the angles whose cosines and sines are given (Su et al.,
     * arXiv 2104.09864, in the layout of transformers' Llama).
     *
     * @param x [batch, heads, sequence, width]
     * @param cos [batch, 1, sequence, width/2]
     * @param sin [batch, 1, sequence, width/2]
     */
    default T rotary(T x, T cos, T sin, int width) {
        T low = slice(x, 3, 0, width / 2);
        T high = slice(x, 3, width / 2, width);
        T turnedLow = add(mul(low, cos), affine(mul(high, sin), -1, 0));
        T turnedHigh = add(mul(high, cos), mul(low, sin));
        return concat(3, List.of(turnedLow, turnedHigh));
    }

    /**
     * Scaled dot-product attention, {@code softmax(q·kᵀ·scale + bias)·v}, for interpreters that have nothing better.
     *
     * @param query [batch, heads, sequence, width]
     * @param key [batch, heads, keys, width]
     * @param value [batch, heads, keys, width]
     * @param bias added to the scores, broadcast to [batch, heads, sequence, keys], where some keys are not seen
     * @param dropout on the attention weights, while training
     */
    default T attention(T query, T key, T value, Optional<T> bias, double scale, double dropout) {
        T scaled = affine(matMul(query, transpose(key, 0, 1, 3, 2)), scale, 0);
        T scores = bias.isPresent() ? add(scaled, bias.get()) : scaled;
        return matMul(dropout(softmax(scores), dropout), value);
    }
}
