package dev.adapt.formats.onnx.export;

import static dev.adapt.formats.onnx.export.OnnxGraph.attribute;

import dev.adapt.formats.UsageException;
import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.algebra.Region;
import dev.adapt.formats.onnx.OnnxPrecision;
import dev.adapt.formats.onnx.proto.TensorProto;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import java.util.List;
import java.util.Optional;
import java.util.function.UnaryOperator;

/**
 * The interpreter that exports: each operation adds nodes to a graph. Where several forms are equal, the graph gets the
 * one that ONNX Runtime's optimiser knows how to fuse. In an FP16 graph matrix products take and give float16, sums and
 * normalisations float32, and whatever else what it is given.
 */
final class OnnxOps implements Ops<OnnxValue> {
    private final OnnxGraph graph;
    private final OnnxPrecision precision;
    private final OnnxLayers layers;

    OnnxOps(OnnxGraph graph, OnnxPrecision precision, OnnxLayers layers) {
        this.graph = graph;
        this.precision = precision;
        this.layers = layers;
    }

    private OnnxValue wide(OnnxValue x) {
        return graph.cast(x, TensorProto.DataType.FLOAT);
    }

    /** As a matrix product takes it. */
    private OnnxValue factor(OnnxValue x) {
        return precision == OnnxPrecision.FP16 ? graph.cast(x, TensorProto.DataType.FLOAT16) : x;
    }

    @Override
    public OnnxValue computed(OnnxValue x, UnaryOperator<DoubleTensor> function) {
        throw new UsageException(
                "the adapter's update is computed from its values, which a graph with the adapter beside its"
                        + " base cannot hold; merge it (adapt merge) and export the merged checkpoint");
    }

    @Override
    public OnnxValue constant(FloatTensor values) {
        return graph.constant(values.values(), values.shape().toArray());
    }

    @Override
    public OnnxValue linear(OnnxValue x, OnnxValue weight, Optional<OnnxValue> bias) {
        return plus(layers.linear(factor(x), factor(weight)), bias);
    }

    @Override
    public OnnxValue conv1d(OnnxValue x, OnnxValue weight, Optional<OnnxValue> bias) {
        return plus(layers.conv1d(factor(x), factor(weight)), bias);
    }

    private OnnxValue plus(OnnxValue product, Optional<OnnxValue> bias) {
        return bias.isPresent() ? graph.node(OnnxOperator.ADD, List.of(), product, factor(bias.get())) : product;
    }

    @Override
    public OnnxValue matMul(OnnxValue left, OnnxValue right) {
        return graph.node(OnnxOperator.MATMUL, List.of(), factor(left), factor(right));
    }

    @Override
    public OnnxValue transpose(OnnxValue x, int... axes) {
        return graph.node(OnnxOperator.TRANSPOSE, List.of(attribute("perm", axes)), x);
    }

    @Override
    public OnnxValue reshape(OnnxValue x, long... dims) {
        return graph.node(OnnxOperator.RESHAPE, List.of(), x, graph.integers(dims));
    }

    @Override
    public OnnxValue slice(OnnxValue x, int axis, long from, long to) {
        return graph.node(
                OnnxOperator.SLICE, List.of(), x, graph.integers(from), graph.integers(to), graph.integers(axis));
    }

    @Override
    public OnnxValue add(OnnxValue left, OnnxValue right) {
        return left.type() == TensorProto.DataType.INT64
                ? graph.node(OnnxOperator.ADD, List.of(), left, right)
                : graph.node(OnnxOperator.ADD, List.of(), wide(left), wide(right));
    }

    @Override
    public OnnxValue mul(OnnxValue left, OnnxValue right) {
        return alike(OnnxOperator.MUL, left, right);
    }

    @Override
    public OnnxValue div(OnnxValue left, OnnxValue right) {
        return alike(OnnxOperator.DIV, left, right);
    }

    /** In float32 where the operands' types differ. */
    private OnnxValue alike(OnnxOperator operator, OnnxValue left, OnnxValue right) {
        return left.type() == right.type()
                ? graph.node(operator, List.of(), left, right)
                : graph.node(operator, List.of(), wide(left), wide(right));
    }

    @Override
    public OnnxValue affine(OnnxValue x, double scale, double shift) {
        OnnxValue scaled = scale == 1 ? x : mul(x, graph.constant(scale, x.type()));
        return shift == 0 ? scaled : graph.node(OnnxOperator.ADD, List.of(), scaled, graph.constant(shift, x.type()));
    }

    @Override
    public OnnxValue concat(int axis, List<OnnxValue> parts) {
        boolean alike = parts.stream().map(OnnxValue::type).distinct().count() == 1;
        OnnxValue[] inputs =
                parts.stream().map(part -> alike ? part : wide(part)).toArray(OnnxValue[]::new);
        return graph.node(OnnxOperator.CONCAT, List.of(attribute("axis", axis)), inputs);
    }

    @Override
    public OnnxValue sum(OnnxValue x, int axis) {
        boolean integers = x.type() == TensorProto.DataType.INT64;
        return graph.node(
                OnnxOperator.REDUCE_SUM,
                List.of(attribute("keepdims", 1)),
                integers ? x : wide(x),
                graph.integers(axis));
    }

    @Override
    public OnnxValue sqrt(OnnxValue x) {
        return graph.node(OnnxOperator.SQRT, List.of(), wide(x));
    }

    @Override
    public OnnxValue softmax(OnnxValue x) {
        return graph.node(OnnxOperator.SOFTMAX, List.of(attribute("axis", -1)), wide(x));
    }

    /** As the definition, but in float16 scales the queries first: their products with keys may be out of its range. */
    @Override
    public OnnxValue attention(
            OnnxValue query, OnnxValue key, OnnxValue value, Optional<OnnxValue> bias, double scale, double dropout) {
        return precision == OnnxPrecision.FP16
                ? Ops.super.attention(affine(factor(query), scale, 0), key, value, bias, 1, dropout)
                : Ops.super.attention(query, key, value, bias, scale, dropout);
    }

    @Override
    public OnnxValue activation(OnnxValue x, Activation f) {
        return switch (f) {
            case GELU -> {
                OnnxValue erf = graph.node(OnnxOperator.ERF, List.of(), div(x, graph.constant(Math.sqrt(2), x.type())));
                yield mul(affine(x, 0.5, 0), affine(erf, 1, 1));
            }
            case GELU_TANH -> {
                OnnxValue factor = affine(mul(affine(x, 0.044715, 0), x), 1, 1);
                OnnxValue inner = mul(affine(x, Math.sqrt(2 / Math.PI), 0), factor);
                yield mul(affine(x, 0.5, 0), affine(graph.node(OnnxOperator.TANH, List.of(), inner), 1, 1));
            }
            case RELU -> graph.node(OnnxOperator.RELU, List.of(), x);
            case SILU -> mul(x, graph.node(OnnxOperator.SIGMOID, List.of(), x));
            case TANH -> graph.node(OnnxOperator.TANH, List.of(), x);
            case SIGMOID -> graph.node(OnnxOperator.SIGMOID, List.of(), x);
            case EXP -> graph.node(OnnxOperator.EXP, List.of(), x);
            case GELU_SIGMOID -> mul(x, graph.node(OnnxOperator.SIGMOID, List.of(), affine(x, 1.702, 0)));
            case RELU_SQUARED -> {
                OnnxValue positive = graph.node(OnnxOperator.RELU, List.of(), x);
                yield mul(positive, positive);
            }
        };
    }

    @Override
    public OnnxValue layerNorm(OnnxValue x, OnnxValue weight, OnnxValue bias, double epsilon) {
        return graph.node(
                weight.scope(),
                OnnxOperator.LAYER_NORMALIZATION,
                List.of(attribute("axis", -1), attribute("epsilon", (float) epsilon)),
                wide(x),
                weight,
                bias);
    }

    @Override
    public OnnxValue rmsNorm(OnnxValue x, OnnxValue weight, double epsilon) {
        String scope = weight.scope();
        OnnxValue wide = wide(x);
        OnnxValue square = graph.node(scope, OnnxOperator.POW, List.of(), wide, graph.constant(2, wide.type()));
        OnnxValue mean =
                graph.node(OnnxOperator.REDUCE_MEAN, List.of(attribute("keepdims", 1)), square, graph.integers(-1));
        OnnxValue root = sqrt(affine(mean, 1, epsilon));
        OnnxValue normed = graph.node(scope, OnnxOperator.DIV, List.of(), wide, root);
        return mul(normed, weight);
    }

    @Override
    public OnnxValue scatter(OnnxValue values, OnnxValue places, Region region) {
        if (region.row() != 0 || region.column() != 0) {
            throw new IllegalArgumentException("a graph computes whole matrices, not " + region);
        }
        OnnxValue zeros = graph.node(
                values.scope(),
                OnnxOperator.CONSTANT_OF_SHAPE,
                TensorProto.DataType.FLOAT,
                List.of(),
                graph.integers(region.rows(), region.columns()));
        OnnxValue pairs = transpose(graph.cast(places, TensorProto.DataType.INT64), 1, 0);
        return graph.node(OnnxOperator.SCATTER_ND, List.of(attribute("reduction", "add")), zeros, pairs, wide(values));
    }

    @Override
    public OnnxValue embedding(OnnxValue table, OnnxValue ids) {
        return wide(layers.embedding(table, ids));
    }

    /** Counts ones in the shape of the ids: a range's shape would be unknown to the optimiser and keep it from fusing. */
    @Override
    public OnnxValue positions(OnnxValue ids) {
        return graph.node(
                ids.scope(),
                OnnxOperator.CUM_SUM,
                List.of(attribute("exclusive", 1)),
                equal(ids, ids),
                graph.integer(1));
    }

    @Override
    public OnnxValue toFloat(OnnxValue integers) {
        return wide(integers);
    }

    @Override
    public OnnxValue integers(long... values) {
        return graph.integers(values);
    }

    @Override
    public OnnxValue lookUp(long[] values, OnnxValue places) {
        return graph.node(
                places.scope(),
                OnnxOperator.GATHER,
                TensorProto.DataType.INT64,
                List.of(attribute("axis", 0)),
                graph.integers(values),
                places);
    }

    @Override
    public OnnxValue pick(OnnxValue x, OnnxValue columns) {
        OnnxValue leading = graph.node(
                x.scope(),
                OnnxOperator.SHAPE,
                TensorProto.DataType.INT64,
                List.of(attribute("start", 0), attribute("end", 3)),
                x);
        OnnxValue chosen = graph.node(
                columns.scope(),
                OnnxOperator.SHAPE,
                TensorProto.DataType.INT64,
                List.of(attribute("start", -1)),
                columns);
        OnnxValue every = graph.node(OnnxOperator.EXPAND, List.of(), columns, concat(0, List.of(leading, chosen)));
        return graph.node(OnnxOperator.GATHER_ELEMENTS, List.of(attribute("axis", -1)), x, every);
    }

    @Override
    public OnnxValue equal(OnnxValue left, OnnxValue right) {
        return truth(OnnxOperator.EQUAL, left, right);
    }

    @Override
    public OnnxValue lessOrEqual(OnnxValue left, OnnxValue right) {
        return truth(OnnxOperator.LESS_OR_EQUAL, left, right);
    }

    private OnnxValue truth(OnnxOperator operator, OnnxValue left, OnnxValue right) {
        OnnxValue truth = graph.node(left.scope(), operator, TensorProto.DataType.BOOL, List.of(), left, right);
        return graph.cast(truth, TensorProto.DataType.INT64);
    }

    @Override
    public OnnxValue cumSum(OnnxValue integers, int axis) {
        return graph.node(OnnxOperator.CUM_SUM, List.of(), integers, graph.integer(axis));
    }

    @Override
    public OnnxValue log(OnnxValue x) {
        return graph.node(OnnxOperator.LOG, List.of(), x);
    }

    @Override
    public OnnxValue max(OnnxValue integers) {
        return graph.node(OnnxOperator.REDUCE_MAX, List.of(attribute("keepdims", 0)), integers);
    }

    @Override
    public OnnxValue maximum(OnnxValue x, int axis) {
        return graph.node(
                OnnxOperator.REDUCE_MAX_ALONG, List.of(attribute("keepdims", 1)), wide(x), graph.integers(axis));
    }

    @Override
    public OnnxValue clamp(OnnxValue x, double low, double high) {
        return graph.node(
                OnnxOperator.CLIP, List.of(), x, graph.constant(low, x.type()), graph.constant(high, x.type()));
    }

    @Override
    public OnnxValue largest(OnnxValue x, int count) {
        OnnxValue wide = wide(x);
        OnnxValue indices = graph.node(
                wide.scope(),
                OnnxOperator.TOP_K,
                TensorProto.DataType.INT64,
                List.of(attribute("axis", -1)),
                wide,
                graph.integers(count));
        OnnxValue column = graph.node(OnnxOperator.UNSQUEEZE, List.of(), indices, graph.integers(-1));
        OnnxValue length = graph.node(
                x.scope(), OnnxOperator.SHAPE, TensorProto.DataType.INT64, List.of(attribute("start", -1)), x);
        OnnxValue numbers = graph.node(
                OnnxOperator.CUM_SUM,
                List.of(attribute("exclusive", 1)),
                graph.node(OnnxOperator.EXPAND, List.of(), graph.integers(1), length),
                graph.integer(0));
        OnnxValue chosen = wide(equal(column, numbers));
        return graph.node(OnnxOperator.REDUCE_SUM, List.of(attribute("keepdims", 0)), chosen, graph.integers(-2));
    }

    @Override
    public OnnxValue tail(OnnxValue x, OnnxValue like) {
        OnnxValue length = graph.node(
                like.scope(), OnnxOperator.SHAPE, TensorProto.DataType.INT64, List.of(attribute("start", -1)), like);
        return graph.node(
                OnnxOperator.SLICE, List.of(), x, negate(length), graph.integers(Long.MAX_VALUE), graph.integers(-1));
    }

    @Override
    public OnnxValue angles(OnnxValue positions, OnnxValue frequencies) {
        OnnxValue column = graph.node(OnnxOperator.UNSQUEEZE, List.of(), toFloat(positions), graph.integers(-1));
        return mul(column, frequencies);
    }

    @Override
    public OnnxValue cos(OnnxValue angles) {
        return graph.node(OnnxOperator.COS, List.of(), angles);
    }

    @Override
    public OnnxValue sin(OnnxValue angles) {
        return graph.node(OnnxOperator.SIN, List.of(), angles);
    }
}
