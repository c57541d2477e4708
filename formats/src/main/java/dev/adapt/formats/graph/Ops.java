package dev.adapt.formats.graph;

import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.Optional;

/**
 * The algebra in which every architecture and every adapter method is written once. Its interpreters are DJL arrays
 * (training, evaluation), ONNX nodes (export) and float64 Java arrays (the oracle of tests and of verification).
 *
 * <p>Two-operand arithmetic broadcasts as NumPy does. Axes count from 0.
 *
 * @param <T> a tensor, or the promise of one
 */
public interface Ops<T> {
    /** A tensor with these values, the same in every run. */
    T constant(FloatTensor values);

    /** {@code x·weightᵀ + bias}: x [.., in], weight [out, in], bias [out]; the result is [.., out]. */
    T linear(T x, T weight, Optional<T> bias);

    /** The matrix product of the last two axes; leading axes broadcast. */
    T matMul(T left, T right);

    /** The axes of x in the order given. */
    T transpose(T x, int... axes);

    /** The same elements in another shape; 0 keeps the dimension at that axis, -1 (once) takes what is left. */
    T reshape(T x, long... dims);

    /** Elements {@code from} (inclusive) to {@code to} (exclusive) along an axis, which keeps its place. */
    T slice(T x, int axis, long from, long to);

    T add(T left, T right);

    T mul(T left, T right);

    T div(T left, T right);

    /** {@code x·scale + shift}, element by element. */
    T affine(T x, double scale, double shift);

    /** The sum along an axis, which stays with size 1. */
    T sum(T x, int axis);

    /** {@code √x}, element by element. */
    T sqrt(T x);

    /** Softmax over the last axis. */
    T softmax(T x);

    /** {@code f(x)}, element by element. */
    T activation(T x, Activation f);

    /** Normalises the last axis to mean 0 and (biased) variance 1, then scales by weight and adds bias, both [last]. */
    T layerNorm(T x, T weight, T bias, double epsilon);

    /** Rows of table [n, width] at integer ids [..]; the result is [.., width]. */
    T embedding(T table, T ids);

    /** For ids [batch, sequence]: the integers 0 to sequence - 1, as [1, sequence]. */
    T positions(T ids);

    /** Integers as floating-point numbers. */
    T toFloat(T integers);

    /** While training, zeroes elements with the given probability and scales the others up; otherwise x itself. */
    default T dropout(T x, double probability) {
        return x;
    }

    /** While training, x as a constant, through which no gradient flows; otherwise x itself. */
    default T stopGradient(T x) {
        return x;
    }

    /**
     * Scaled dot-product attention, {@code softmax(q·kᵀ·scale + bias)·v}, for interpreters that have nothing better.
     *
     * @param query [batch, heads, sequence, width]
     * @param key [batch, heads, keys, width]
     * @param value [batch, heads, keys, width]
     * @param bias added to the scores, broadcast to [batch, heads, sequence, keys]
     * @param dropout on the attention weights, while training
     */
    default T attention(T query, T key, T value, T bias, double scale, double dropout) {
        T scores = add(affine(matMul(query, transpose(key, 0, 1, 3, 2)), scale, 0), bias);
        return matMul(dropout(softmax(scores), dropout), value);
    }

    /** A constant vector of one value. */
    default T constant(float value) {
        return constant(new FloatTensor(Shape.of(1), new float[] {value}));
    }
}
