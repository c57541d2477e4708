package dev.adapt.formats.onnx.export;

import static dev.adapt.formats.onnx.export.OnnxGraph.attribute;

import dev.adapt.formats.onnx.proto.TensorProto.DataType;
import dev.adapt.formats.onnx.quantize.Int4Blocks;
import dev.adapt.formats.onnx.quantize.Int8Rows;
import dev.adapt.formats.onnx.quantize.MatrixRows;
import dev.adapt.formats.tensor.Shape;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** How a graph multiplies with the weights of linear layers, and looks up rows of tables. */
sealed interface OnnxLayers {
    /** {@code x·weightᵀ}: x [.., in], weight [out, in]. */
    OnnxValue linear(OnnxValue x, OnnxValue weight);

    /** {@code x·weight}: x [.., in], weight [in, out]. */
    OnnxValue conv1d(OnnxValue x, OnnxValue weight);

    /** Rows of a table [rows, width] by ids [batch, sequence]. */
    OnnxValue embedding(OnnxValue table, OnnxValue ids);

    /** Weights as the checkpoint has them: a session transposes them once, when it loads. */
    record Plain(OnnxGraph graph) implements OnnxLayers {
        @Override
        public OnnxValue linear(OnnxValue x, OnnxValue weight) {
            int[] exchanged = {1, 0};
            return conv1d(x, graph.node(OnnxOperator.TRANSPOSE, List.of(attribute("perm", exchanged)), weight));
        }

        @Override
        public OnnxValue conv1d(OnnxValue x, OnnxValue weight) {
            // MatMul takes any rank, which Gemm does not
            return graph.node(weight.scope(), OnnxOperator.MATMUL, List.of(), x, weight);
        }

        @Override
        public OnnxValue embedding(OnnxValue table, OnnxValue ids) {
            return graph.node(OnnxOperator.GATHER, List.of(attribute("axis", 0)), table, ids);
        }
    }

    /**
     * Weights of linear layers stored [in, out], as tools expect them that change models: ONNX Runtime's quantizer leaves
     * products with a transposed weight as they are. A weight that is a table too is stored once, as the table.
     */
    record Transposed(OnnxWeights weights, Plain plain, Set<OnnxValue> tables) implements OnnxLayers {
        Transposed(OnnxGraph graph, OnnxWeights weights) {
            this(weights, new Plain(graph), new HashSet<>());
        }

        @Override
        public OnnxValue linear(OnnxValue x, OnnxValue weight) {
            Optional<OnnxValue> stored = tables.contains(weight) ? Optional.empty() : weights.transposed(weight);
            return stored.map(matrix -> plain.conv1d(x, matrix)).orElseGet(() -> plain.linear(x, weight));
        }

        @Override
        public OnnxValue conv1d(OnnxValue x, OnnxValue weight) {
            return plain.conv1d(x, weight);
        }

        @Override
        public OnnxValue embedding(OnnxValue table, OnnxValue ids) {
            tables.add(table);
            return plain.embedding(table, ids);
        }
    }

    /**
     * Weights in 8 or 4 bits. Those of fewer than {@link #LEAST} inputs or outputs, such as the last layer of a classifier,
     * stay float32: there is little to gain, and they decide the result.
     *
     * @param bits of the weights of linear layers; tables have 8
     */
    record Quantized(OnnxGraph graph, OnnxWeights weights, int bits, OnnxLayers others) implements OnnxLayers {
        private static final int LEAST = 32;

        /** Inputs of products are rounded to 8 bits, in blocks as the weights are. */
        private static final int INT8_INPUTS = 4;

        Quantized(OnnxGraph graph, OnnxWeights weights, int bits) {
            this(graph, weights, bits, new Transposed(graph, weights));
        }

        @Override
        public OnnxValue linear(OnnxValue x, OnnxValue weight) {
            return large(weight)
                    .map(own -> product(x, weight.scope(), own, false))
                    .orElseGet(() -> others.linear(x, weight));
        }

        @Override
        public OnnxValue conv1d(OnnxValue x, OnnxValue weight) {
            return large(weight)
                    .map(own -> product(x, weight.scope(), own, true))
                    .orElseGet(() -> others.conv1d(x, weight));
        }

        private Optional<OnnxWeight> large(OnnxValue weight) {
            return weights.weightOf(weight)
                    .filter(own -> own.shape().rank() == 2
                            && own.shape().dim(0) >= LEAST
                            && own.shape().dim(1) >= LEAST);
        }

        private OnnxValue product(OnnxValue x, String scope, OnnxWeight weight, boolean inFirst) {
            MatrixRows outputs = MatrixRows.of(weight.tensor(), inFirst);
            return bits == 8
                    ? integers(x, scope, weight.name(), new Int8Rows(outputs, false))
                    : blocks(x, scope, weight.name(), new Int4Blocks(outputs));
        }

        /** The nodes that ONNX Runtime fuses into one. */
        private OnnxValue integers(OnnxValue x, String scope, String name, Int8Rows rows) {
            long in = rows.matrix().columns();
            long out = rows.matrix().rows();
            OnnxValue values = weights.add(new ComputedTensor(
                    name + "_quantized", DataType.INT8, Shape.of(in, out), in * out, rows::turnedValues));
            OnnxValue scales = weights.add(new ComputedTensor(
                    name + "_scale", DataType.FLOAT, Shape.of(out), out * Float.BYTES, rows::scales));
            List<OnnxValue> input = graph.outputs(
                    x.scope(),
                    OnnxOperator.DYNAMIC_QUANTIZE_LINEAR,
                    List.of(DataType.UINT8, DataType.FLOAT, DataType.UINT8),
                    List.of(),
                    x);
            OnnxValue sums = graph.node(
                    scope, OnnxOperator.MATMUL_INTEGER, DataType.INT32, List.of(), input.get(0), values, input.get(2));
            OnnxValue scale = graph.node(scope, OnnxOperator.MUL, List.of(), input.get(1), scales);
            return graph.node(scope, OnnxOperator.MUL, List.of(), graph.cast(sums, DataType.FLOAT), scale);
        }

        private OnnxValue blocks(OnnxValue x, String scope, String name, Int4Blocks blocks) {
            long in = blocks.matrix().columns();
            long out = blocks.matrix().rows();
            long count = blocks.blocks();
            long width = Int4Blocks.SIZE / 2;
            OnnxValue values = weights.add(new ComputedTensor(
                    name + "_Q4", DataType.UINT8, Shape.of(out, count, width), out * count * width, blocks::values));
            OnnxValue scales = weights.add(new ComputedTensor(
                    name + "_scales",
                    DataType.FLOAT,
                    Shape.of(out * count),
                    out * count * Float.BYTES,
                    blocks::scales));
            long zeros = out * Math.ceilDiv(count, 2);
            OnnxValue zeroPoints = weights.add(new ComputedTensor(
                    name + "_zero_points", DataType.UINT8, Shape.of(zeros), zeros, blocks::zeroPoints));
            return graph.node(
                    scope,
                    OnnxOperator.MATMUL_N_BITS,
                    DataType.FLOAT,
                    List.of(
                            attribute("K", in),
                            attribute("N", out),
                            attribute("bits", 4),
                            attribute("block_size", Int4Blocks.SIZE),
                            attribute("accuracy_level", INT8_INPUTS)),
                    x,
                    values,
                    scales,
                    zeroPoints);
        }

        @Override
        public OnnxValue embedding(OnnxValue table, OnnxValue ids) {
            return large(table).map(own -> rows(table, own, ids)).orElseGet(() -> others.embedding(table, ids));
        }

        private OnnxValue rows(OnnxValue table, OnnxWeight weight, OnnxValue ids) {
            Int8Rows rows = new Int8Rows(new MatrixRows(weight.tensor()), true);
            long count = rows.matrix().rows();
            long width = rows.matrix().columns();
            OnnxValue values = weights.add(new ComputedTensor(
                    weight.name() + "_quantized", DataType.INT8, Shape.of(count, width), count * width, rows::values));
            OnnxValue scales = weights.add(new ComputedTensor(
                    weight.name() + "_scale", DataType.FLOAT16, Shape.of(count, 1), count * Short.BYTES, rows::scales));
            OnnxValue found = graph.cast(others.embedding(values, ids), DataType.FLOAT);
            OnnxValue scale = graph.cast(others.embedding(scales, ids), DataType.FLOAT);
            return graph.node(table.scope(), OnnxOperator.MUL, List.of(), found, scale);
        }
    }
}
