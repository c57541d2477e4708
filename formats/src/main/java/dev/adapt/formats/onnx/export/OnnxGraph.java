package dev.adapt.formats.onnx.export;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import dev.adapt.formats.onnx.proto.AttributeProto;
import dev.adapt.formats.onnx.proto.AttributeProto.AttributeType;
import dev.adapt.formats.onnx.proto.GraphProto;
import dev.adapt.formats.onnx.proto.NodeProto;
import dev.adapt.formats.onnx.proto.TensorProto;
import dev.adapt.formats.onnx.proto.TensorShapeProto;
import dev.adapt.formats.onnx.proto.TypeProto;
import dev.adapt.formats.onnx.proto.ValueInfoProto;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.Set;

/**
 * A graph under construction. Nodes are checked against their operators as they are added; equal nodes and equal
 * constants are made once.
 */
final class OnnxGraph {
    /** The oldest operator set that exports target: the first with LayerNormalization. */
    static final int MIN_OPSET = 17;

    private record Computation(OnnxOperator operator, List<AttributeProto> attributes, List<OnnxValue> inputs) {}

    private final GraphProto.Builder graph = GraphProto.newBuilder();
    private final Map<Computation, List<OnnxValue>> computed = new HashMap<>();
    private final Map<TensorProto, OnnxValue> constants = new LinkedHashMap<>();
    private final Map<String, String> renamed = new LinkedHashMap<>();
    private final Set<String> names = new HashSet<>();
    private final SequencedMap<String, Long> opsets = new LinkedHashMap<>(Map.of("", (long) MIN_OPSET));

    OnnxGraph(String name) {
        graph.setName(name);
    }

    /** An input; an axis is a number, or a name where its size differs from run to run. */
    OnnxValue input(String name, TensorProto.DataType type, List<String> axes) {
        declare(name, type, axes);
        return new OnnxValue(fresh(name), "", type);
    }

    /** Makes a weight an input too: a run may give another tensor in its place. */
    void declare(String weight, TensorProto.DataType type, List<String> axes) {
        graph.addInput(info(weight, type, axes));
    }

    /** Makes a value an output, in float32. */
    void output(OnnxValue value, String name, List<String> axes) {
        OnnxValue wide = cast(value, TensorProto.DataType.FLOAT);
        boolean ofNode = computed.values().stream().anyMatch(values -> values.contains(wide));
        if (ofNode && !renamed.containsKey(wide.name())) {
            renamed.put(wide.name(), fresh(name));
        } else {
            // an input, a weight or another output keeps its own name
            graph.addNode(NodeProto.newBuilder()
                    .setOpType(OnnxOperator.IDENTITY.standardName())
                    .setName(fresh("/" + name))
                    .addInput(wide.name())
                    .addOutput(fresh(name)));
        }
        graph.addOutput(info(name, TensorProto.DataType.FLOAT, axes));
    }

    private static ValueInfoProto info(String name, TensorProto.DataType type, List<String> axes) {
        TensorShapeProto.Builder shape = TensorShapeProto.newBuilder();
        for (String axis : axes) {
            boolean number = axis.chars().allMatch(Character::isDigit);
            shape.addDim(
                    number
                            ? TensorShapeProto.Dimension.newBuilder().setDimValue(Long.parseLong(axis))
                            : TensorShapeProto.Dimension.newBuilder().setDimParam(axis));
        }
        return ValueInfoProto.newBuilder()
                .setName(name)
                .setType(TypeProto.newBuilder()
                        .setTensorType(TypeProto.Tensor.newBuilder()
                                .setElemType(type.getNumber())
                                .setShape(shape)))
                .build();
    }

    /** A weight; its name's end, {@code .weight}, is not part of its scope. The file's writer adds it to the file. */
    OnnxValue weight(String name, TensorProto.DataType type) {
        int end = Math.max(name.lastIndexOf('.'), 0);
        // layers are numbered within a step of the path, as PyTorch's exporter has it: /encoder/layer.0/output
        String scope = "/" + name.substring(0, end).replaceAll("\\.(?!\\d)", "/");
        return new OnnxValue(fresh(name), scope, type);
    }

    /** A scalar of one of the two types that graphs compute in. */
    OnnxValue constant(double value, TensorProto.DataType type) {
        if (type == TensorProto.DataType.FLOAT) {
            return constant(new float[] {(float) value});
        }
        ByteBuffer bytes = ByteBuffer.allocate(Short.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        bytes.putShort(0, Float.floatToFloat16((float) value));
        return constant(TensorProto.DataType.FLOAT16, bytes);
    }

    /** A float32 constant of this shape; a scalar if no shape is given. */
    OnnxValue constant(float[] values, long... dims) {
        ByteBuffer bytes = ByteBuffer.allocate(values.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(values);
        return constant(TensorProto.DataType.FLOAT, bytes, dims);
    }

    /** An int64 vector. */
    OnnxValue integers(long... values) {
        return integers(values, values.length);
    }

    /** An int64 scalar. */
    OnnxValue integer(long value) {
        return integers(new long[] {value});
    }

    private OnnxValue integers(long[] values, long... dims) {
        ByteBuffer bytes = ByteBuffer.allocate(values.length * Long.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asLongBuffer().put(values);
        return constant(TensorProto.DataType.INT64, bytes, dims);
    }

    private OnnxValue constant(TensorProto.DataType type, ByteBuffer bytes, long... dims) {
        TensorProto tensor = TensorProto.newBuilder()
                .setDataType(type.getNumber())
                .addAllDims(Arrays.stream(dims).boxed().toList())
                .setRawData(UnsafeByteOperations.unsafeWrap(bytes))
                .build();
        return constants.computeIfAbsent(tensor, absent -> {
            OnnxValue value = new OnnxValue(fresh("Constant"), "", type);
            graph.addInitializer(tensor.toBuilder().setName(value.name()));
            return value;
        });
    }

    /** A value in another type. */
    OnnxValue cast(OnnxValue value, TensorProto.DataType type) {
        return value.type() == type
                ? value
                : node(value.scope(), OnnxOperator.CAST, type, List.of(attribute("to", type.getNumber())), value);
    }

    /** A node's one output, of its first input's type; the node goes by that input's scope. */
    OnnxValue node(OnnxOperator operator, List<AttributeProto> attributes, OnnxValue... inputs) {
        return node(inputs[0].scope(), operator, attributes, inputs);
    }

    /** A node's one output, of its first input's type. */
    OnnxValue node(String scope, OnnxOperator operator, List<AttributeProto> attributes, OnnxValue... inputs) {
        return node(scope, operator, inputs[0].type(), attributes, inputs);
    }

    /**
     * A node's one output; of several, the last.
     *
     * @param type that of the output
     */
    OnnxValue node(
            String scope,
            OnnxOperator operator,
            TensorProto.DataType type,
            List<AttributeProto> attributes,
            OnnxValue... inputs) {
        List<TensorProto.DataType> types =
                operator == OnnxOperator.TOP_K ? List.of(inputs[0].type(), type) : List.of(type);
        return outputs(scope, operator, types, attributes, inputs).getLast();
    }

    /** All outputs of a node, by their types. */
    List<OnnxValue> outputs(
            String scope,
            OnnxOperator operator,
            List<TensorProto.DataType> types,
            List<AttributeProto> attributes,
            OnnxValue... inputs) {
        operator.check(inputs.length, attributes);
        return computed.computeIfAbsent(new Computation(operator, attributes, List.of(inputs)), absent -> {
            opsets.merge(operator.domain(), (long) operator.since(), Math::max);
            String name = fresh(scope + "/" + operator.standardName());
            NodeProto.Builder node = NodeProto.newBuilder()
                    .setOpType(operator.standardName())
                    .setDomain(operator.domain())
                    .setName(name)
                    .addAllAttribute(attributes);
            List<OnnxValue> made = new ArrayList<>();
            for (int i = 0; i < types.size(); i++) {
                made.add(new OnnxValue(fresh(name + "_output_" + i), scope, types.get(i)));
                node.addOutput(made.getLast().name());
            }
            for (OnnxValue input : inputs) {
                node.addInput(input.name());
            }
            graph.addNode(node);
            return List.copyOf(made);
        });
    }

    private String fresh(String wanted) {
        String name = wanted;
        for (int i = 1; !names.add(name); i++) {
            name = wanted + "_" + i;
        }
        return name;
    }

    static AttributeProto attribute(String name, long value) {
        return AttributeProto.newBuilder()
                .setName(name)
                .setType(AttributeType.INT)
                .setI(value)
                .build();
    }

    static AttributeProto attribute(String name, float value) {
        return AttributeProto.newBuilder()
                .setName(name)
                .setType(AttributeType.FLOAT)
                .setF(value)
                .build();
    }

    static AttributeProto attribute(String name, String value) {
        return AttributeProto.newBuilder()
                .setName(name)
                .setType(AttributeType.STRING)
                .setS(ByteString.copyFromUtf8(value))
                .build();
    }

    static AttributeProto attribute(String name, int[] values) {
        AttributeProto.Builder attribute =
                AttributeProto.newBuilder().setName(name).setType(AttributeType.INTS);
        Arrays.stream(values).forEach(attribute::addInts);
        return attribute.build();
    }

    /** The version of the standard's operators that the nodes so far need. */
    int opset() {
        return Math.toIntExact(opsets.getOrDefault("", (long) MIN_OPSET));
    }

    /** The versions of all operators that the nodes so far need, by domain; the standard's domain is empty. */
    SequencedMap<String, Long> opsets() {
        return Collections.unmodifiableSequencedMap(opsets);
    }

    /** Drops nodes and constants that no output needs. Returns the names of the values that are left to read. */
    Set<String> prune() {
        Set<String> read = new HashSet<>(renamed.keySet());
        graph.getOutputList().forEach(output -> read.add(output.getName()));
        List<NodeProto> kept = new ArrayList<>();
        for (NodeProto node : graph.getNodeList().reversed()) {
            if (node.getOutputList().stream().anyMatch(read::contains)) {
                read.addAll(node.getInputList());
                kept.addFirst(node);
            }
        }
        graph.clearNode().addAllNode(kept);
        List<TensorProto> constants = graph.getInitializerList().stream()
                .filter(constant -> read.contains(constant.getName()))
                .toList();
        graph.clearInitializer().addAllInitializer(constants);
        return read;
    }

    /** Gives a value another name, which no other value that is read may have. */
    void rename(OnnxValue value, String name) {
        renamed.put(value.name(), name);
    }

    /** The graph so far, without the weights. */
    GraphProto.Builder proto() {
        for (NodeProto.Builder node : graph.getNodeBuilderList()) {
            for (int i = 0; i < node.getOutputCount(); i++) {
                node.setOutput(i, renamed.getOrDefault(node.getOutput(i), node.getOutput(i)));
            }
            for (int i = 0; i < node.getInputCount(); i++) {
                node.setInput(i, renamed.getOrDefault(node.getInput(i), node.getInput(i)));
            }
        }
        return graph;
    }
}
