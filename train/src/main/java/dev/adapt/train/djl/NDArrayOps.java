package dev.adapt.train.djl;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.ndarray.types.SparseFormat;
import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.algebra.Region;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;

/**
 * The interpreter for training and evaluation: float32 arrays of DJL on its PyTorch engine.
 *
 * <p>Every result belongs to the manager of one step, or of the layer that is being computed, wherever its inputs live: DJL
 * would attach it to the manager of its first input, which for a slice of a weight lives as long as the model. What a layer
 * computed on the way is let go of when the layer is done; what the backward pass needs of it, PyTorch keeps. Constants belong
 * to the step: DJL lends PyTorch the memory of Java's arrays, and the backward pass may read it.
 */
public final class NDArrayOps implements Ops<NDArray> {
    private final NDManager step;
    private final Optional<Dropout> dropout;
    private final Optional<Recomputation> recomputation;
    private NDManager current;

    /**
     * @param step closed by the caller when the step is done
     * @param dropout what drops while training; empty for evaluation
     */
    public NDArrayOps(NDManager step, Optional<Dropout> dropout) {
        this(step, dropout, Optional.empty());
    }

    /**
     * @param recomputation where layers are computed again for the backward pass
     */
    public NDArrayOps(NDManager step, Optional<Dropout> dropout, Optional<Recomputation> recomputation) {
        this.step = step;
        this.dropout = dropout;
        this.recomputation = recomputation;
        this.current = step;
    }

    @Override
    public NDArray layer(NDArray states, UnaryOperator<NDArray> layer) {
        UnaryOperator<NDArray> own = x -> scope(() -> layer.apply(x));
        return recomputation.isPresent() ? recomputation.get().forward(states, own) : own.apply(states);
    }

    /** The manager of what is computed now. */
    public NDManager manager() {
        return current;
    }

    /** Lets go of all that was computed but the result. */
    public NDArray scope(Supplier<NDArray> computation) {
        NDManager outer = current;
        try (NDManager inner = outer.newSubManager()) {
            current = inner;
            NDArray result = computation.get();
            result.attach(outer);
            return result;
        } finally {
            current = outer;
        }
    }

    @Override
    public <R> R shared(Supplier<R> value) {
        NDManager inner = current;
        try {
            current = step;
            return value.get();
        } finally {
            current = inner;
        }
    }

    private NDArray own(NDArray result) {
        result.attach(current);
        return result;
    }

    @Override
    public NDArray constant(FloatTensor values) {
        return step.create(values.values(), new Shape(values.shape().toArray()));
    }

    @Override
    public NDArray linear(NDArray x, NDArray weight, Optional<NDArray> bias) {
        return own(x.getNDArrayInternal().linear(x, weight, bias.orElse(null)).singletonOrThrow());
    }

    @Override
    public NDArray matMul(NDArray left, NDArray right) {
        return own(left.matMul(right));
    }

    @Override
    public NDArray transpose(NDArray x, int... axes) {
        return own(x.transpose(axes));
    }

    @Override
    public NDArray reshape(NDArray x, long... dims) {
        long[] resolved = dims.clone();
        for (int axis = 0; axis < dims.length; axis++) {
            resolved[axis] = dims[axis] == 0 ? x.getShape().get(axis) : dims[axis];
        }
        return own(x.reshape(resolved));
    }

    @Override
    public NDArray slice(NDArray x, int axis, long from, long to) {
        if (from == 0 && to == x.getShape().get(axis)) {
            return x;
        }
        NDIndex index = new NDIndex();
        for (int i = 0; i < axis; i++) {
            index.addAllDim();
        }
        return own(x.get(index.addSliceDim(from, to)));
    }

    @Override
    public NDArray add(NDArray left, NDArray right) {
        return own(left.add(right));
    }

    @Override
    public NDArray mul(NDArray left, NDArray right) {
        return own(left.mul(right));
    }

    @Override
    public NDArray div(NDArray left, NDArray right) {
        return own(left.div(right));
    }

    @Override
    public NDArray affine(NDArray x, double scale, double shift) {
        NDArray scaled = scale == 1 ? x : own(x.mul(scalar(scale)));
        return shift == 0 ? scaled : own(scaled.add(scalar(shift)));
    }

    /**
     * A number as an array of the current manager, a step's or a layer's. DJL's own {@code mul(Number)} lends PyTorch the memory of a Java
     * buffer and lets go of it at once, but the backward pass still reads it: after a garbage collection it reads anything.
     */
    private NDArray scalar(double value) {
        try (NDArray lent = current.create((float) value)) {
            return own(lent.duplicate());
        }
    }

    @Override
    public NDArray concat(int axis, List<NDArray> parts) {
        // DJL copies a single part, and no gradient flows through the copy
        return parts.size() == 1 ? parts.getFirst() : own(NDArrays.concat(new NDList(parts), axis));
    }

    @Override
    public NDArray sum(NDArray x, int axis) {
        return own(x.sum(new int[] {axis}, true));
    }

    @Override
    public NDArray sqrt(NDArray x) {
        return own(x.sqrt());
    }

    @Override
    public NDArray inverse(NDArray x, int count, int n) {
        return own(x.inverse());
    }

    @Override
    public NDArray computed(NDArray x, UnaryOperator<DoubleTensor> function) {
        FloatTensor values =
                new FloatTensor(dev.adapt.formats.tensor.Shape.of(x.getShape().getShape()), x.toFloatArray());
        DoubleTensor result = function.apply(DoubleTensor.of(values));
        return constant(new FloatTensor(result.shape(), result.toFloats()));
    }

    @Override
    public NDArray stopGradient(NDArray x) {
        return own(x.stopGradient());
    }

    @Override
    public NDArray softmax(NDArray x) {
        return own(x.softmax(-1));
    }

    @Override
    public NDArray activation(NDArray x, Activation f) {
        return own(
                switch (f) {
                    case GELU -> x.getNDArrayInternal().gelu();
                    case GELU_TANH -> geluTanh(x);
                    case RELU -> x.getNDArrayInternal().relu();
                    case SILU -> x.mul(x.getNDArrayInternal().sigmoid());
                    case TANH -> x.tanh();
                    case SIGMOID -> x.getNDArrayInternal().sigmoid();
                    case EXP -> x.exp();
                    case GELU_SIGMOID ->
                        x.mul(affine(x, 1.702, 0).getNDArrayInternal().sigmoid());
                    case RELU_SQUARED -> x.getNDArrayInternal().relu().square();
                });
    }

    private NDArray geluTanh(NDArray x) {
        NDArray cubed = mul(mul(x, x), x);
        NDArray inner = affine(add(x, affine(cubed, 0.044715, 0)), Math.sqrt(2 / Math.PI), 0);
        return mul(affine(x, 0.5, 0), affine(own(inner.tanh()), 1, 1));
    }

    @Override
    public NDArray layerNorm(NDArray x, NDArray weight, NDArray bias, double epsilon) {
        Shape last = new Shape(x.getShape().get(x.getShape().dimension() - 1));
        return own(x.getNDArrayInternal()
                .layerNorm(x, last, weight, bias, (float) epsilon)
                .singletonOrThrow());
    }

    @Override
    public NDArray rmsNorm(NDArray x, NDArray weight, double epsilon) {
        int last = x.getShape().dimension() - 1;
        NDArray mean = affine(sum(mul(x, x), last), 1.0 / x.getShape().get(last), epsilon);
        return mul(div(x, sqrt(mean)), weight);
    }

    @Override
    public NDArray embedding(NDArray table, NDArray ids) {
        // an adapter's indices are kept as floats, exactly
        NDArray integers = ids.getDataType().isInteger() ? ids : own(ids.toType(DataType.INT64, false));
        return own(integers.getNDArrayInternal()
                .embedding(integers, table, SparseFormat.DENSE)
                .singletonOrThrow());
    }

    /**
     * Rows of a table, whose gradient DJL has: each element of the matrix looks up its value, or the 0 after the last. Where
     * several values share a place, as many such matrices are added.
     */
    @Override
    public NDArray scatter(NDArray values, NDArray places, Region region) {
        float[] at = places.toFloatArray();
        int count = at.length / 2;
        NDArray table = concat(0, List.of(reshape(values, -1, 1), current.zeros(new Shape(1, 1))));
        List<long[]> layers = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            int row = ((int) at[i]) - region.row();
            int column = ((int) at[count + i]) - region.column();
            if (row >= 0 && row < region.rows() && column >= 0 && column < region.columns()) {
                place(layers, row * region.columns() + column, i, count, region.rows() * region.columns());
            }
        }
        NDArray sum = current.zeros(new Shape(region.rows(), region.columns()));
        for (long[] layer : layers) {
            sum = add(sum, reshape(embedding(table, step.create(layer)), region.rows(), region.columns()));
        }
        return sum;
    }

    private static void place(List<long[]> layers, int at, int index, int none, int size) {
        for (long[] layer : layers) {
            if (layer[at] == none) {
                layer[at] = index;
                return;
            }
        }
        long[] layer = new long[size];
        Arrays.fill(layer, none);
        layer[at] = index;
        layers.add(layer);
    }

    @Override
    public NDArray positions(NDArray ids) {
        return current.arange(0, (int) ids.getShape().get(1), 1, DataType.INT64).reshape(1, -1);
    }

    @Override
    public NDArray toFloat(NDArray integers) {
        return own(integers.toType(DataType.FLOAT32, false));
    }

    @Override
    public NDArray integers(long... values) {
        return step.create(values);
    }

    @Override
    public NDArray lookUp(long[] values, NDArray places) {
        NDArray found = own(step.create(values).gather(own(places.reshape(-1)), 0));
        return own(found.reshape(places.getShape()));
    }

    @Override
    public NDArray pick(NDArray x, NDArray columns) {
        Shape leading = x.getShape().slice(0, 3);
        Shape all = leading.add(columns.getShape().get(2));
        return own(x.gather(own(own(columns.expandDims(1)).broadcast(all)), 3));
    }

    @Override
    public NDArray equal(NDArray left, NDArray right) {
        return own(own(left.eq(right)).toType(DataType.INT64, false));
    }

    @Override
    public NDArray lessOrEqual(NDArray left, NDArray right) {
        return own(own(left.lte(right)).toType(DataType.INT64, false));
    }

    @Override
    public NDArray cumSum(NDArray integers, int axis) {
        return own(integers.cumSum(axis));
    }

    @Override
    public NDArray log(NDArray x) {
        return own(x.log());
    }

    @Override
    public NDArray max(NDArray integers) {
        return own(integers.max());
    }

    @Override
    public NDArray maximum(NDArray x, int axis) {
        return own(x.max(new int[] {axis}, true));
    }

    @Override
    public NDArray clamp(NDArray x, double low, double high) {
        return own(x.clip(low, high));
    }

    @Override
    public NDArray largest(NDArray x, int count) {
        NDArray numbers = current.arange(0, (int) x.getShape().get(x.getShape().dimension() - 1), 1, DataType.INT64);
        NDList values = x.stopGradient().topK(count, -1);
        values.attach(current);
        NDArray indices = own(values.get(1).expandDims(-1));
        NDArray chosen = toFloat(own(indices.eq(numbers)));
        return own(chosen.sum(new int[] {x.getShape().dimension() - 1}));
    }

    @Override
    public NDArray tail(NDArray x, NDArray like) {
        int last = x.getShape().dimension() - 1;
        long from = x.getShape().get(last) - like.getShape().get(like.getShape().dimension() - 1);
        return slice(x, last, from, x.getShape().get(last));
    }

    @Override
    public NDArray angles(NDArray positions, NDArray frequencies) {
        return mul(reshape(toFloat(positions), 0, -1, 1), frequencies);
    }

    @Override
    public NDArray cos(NDArray angles) {
        return own(angles.cos());
    }

    @Override
    public NDArray sin(NDArray angles) {
        return own(angles.sin());
    }

    @Override
    public NDArray dropout(NDArray x, double probability) {
        return dropout.isPresent() && probability > 0 ? dropout.get().drop(current, x, probability) : x;
    }

    /** As the definition, but scales the queries, which are smaller than the scores. */
    @Override
    public NDArray attention(
            NDArray query,
            NDArray key,
            NDArray value,
            Optional<NDArray> bias,
            double scale,
            double dropoutProbability) {
        NDArray scores = matMul(affine(query, scale, 0), transpose(key, 0, 1, 3, 2));
        NDArray seen = bias.isPresent() ? add(scores, bias.get()) : scores;
        return matMul(dropout(softmax(seen), dropoutProbability), value);
    }
}
