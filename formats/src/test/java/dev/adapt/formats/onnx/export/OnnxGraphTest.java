package dev.adapt.formats.onnx.export;

import static dev.adapt.formats.onnx.export.OnnxGraph.attribute;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.onnx.OnnxPrecision;
import dev.adapt.formats.onnx.proto.AttributeProto;
import dev.adapt.formats.onnx.proto.NodeProto;
import dev.adapt.formats.onnx.proto.TensorProto;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class OnnxGraphTest {
    private final OnnxGraph graph = new OnnxGraph("test");
    private final OnnxOps ops = new OnnxOps(graph, OnnxPrecision.FP32, new OnnxLayers.Plain(graph));
    private final OnnxValue x = graph.input("x", TensorProto.DataType.FLOAT, List.of("batch", "8"));

    private List<String> nodeNames() {
        return graph.proto().getNodeList().stream().map(NodeProto::getName).toList();
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "CONCAT") // takes any number
    void everyOperatorRefusesMoreInputsThanItTakes(OnnxOperator operator) {
        OnnxValue[] seven = Stream.generate(() -> x).limit(7).toArray(OnnxValue[]::new);
        String message = assertThrows(IllegalArgumentException.class, () -> graph.node(operator, List.of(), seven))
                .getMessage();
        assertTrue(message.startsWith(operator.standardName() + " takes "), message);
    }

    @Test
    void anAttributeThatTheOperatorDoesNotHaveIsRefused() {
        List<AttributeProto> axis = List.of(attribute("axis", 1));
        assertEquals(
                "MatMul has no INT attribute axis",
                assertThrows(IllegalArgumentException.class, () -> graph.node(OnnxOperator.MATMUL, axis, x, x))
                        .getMessage());
    }

    @Test
    void anAttributeOfAnotherTypeIsRefused() {
        List<AttributeProto> perm = List.of(attribute("perm", 1));
        assertEquals(
                "Transpose has no INT attribute perm",
                assertThrows(IllegalArgumentException.class, () -> graph.node(OnnxOperator.TRANSPOSE, perm, x))
                        .getMessage());
    }

    @Test
    void equalNodesAndEqualConstantsAreMadeOnce() {
        OnnxValue first = ops.affine(x, 2, 1);
        OnnxValue second = ops.affine(x, 2, 1);
        assertEquals(first, second);
        assertEquals(2, graph.proto().getNodeCount());
        assertEquals(2, graph.proto().getInitializerCount());
        ops.affine(x, 2, 3);
        assertEquals(3, graph.proto().getNodeCount());
        assertEquals(3, graph.proto().getInitializerCount());
    }

    @Test
    void nodesAreCalledAfterTheModulesTheirWeightsBelongTo() {
        OnnxValue weight = graph.weight("encoder.layer.0.output.dense.weight", TensorProto.DataType.FLOAT);
        OnnxValue bias = graph.weight("encoder.layer.0.output.dense.bias", TensorProto.DataType.FLOAT);
        OnnxValue y = ops.linear(x, weight, Optional.of(bias));
        ops.add(y, y);
        assertEquals(
                List.of(
                        "/encoder/layer.0/output/dense/Transpose",
                        "/encoder/layer.0/output/dense/MatMul",
                        "/encoder/layer.0/output/dense/Add",
                        "/encoder/layer.0/output/dense/Add_1"),
                nodeNames());
    }

    @Test
    void anOutputIsTheNodesOwn() {
        OnnxValue y = ops.add(x, x);
        OnnxValue z = ops.mul(y, y);
        graph.output(y, "y", List.of("batch", "8"));
        graph.output(z, "z", List.of("batch", "8"));
        List<NodeProto> nodes = graph.proto().getNodeList();
        assertEquals(2, nodes.size());
        assertEquals(List.of("y"), nodes.get(0).getOutputList());
        assertEquals(List.of("y", "y"), nodes.get(1).getInputList());
        assertEquals(List.of("z"), nodes.get(1).getOutputList());
    }

    @Test
    void whatHasANameAlreadyIsCopied() {
        OnnxValue y = ops.add(x, x);
        graph.output(y, "y", List.of("batch", "8"));
        graph.output(y, "again", List.of("batch", "8"));
        graph.output(x, "same", List.of("batch", "8"));
        List<NodeProto> nodes = graph.proto().getNodeList();
        assertEquals(
                List.of("Add", "Identity", "Identity"),
                nodes.stream().map(NodeProto::getOpType).toList());
        assertEquals(List.of("y"), nodes.get(1).getInputList());
        assertEquals(List.of("again"), nodes.get(1).getOutputList());
        assertEquals(List.of("x"), nodes.get(2).getInputList());
    }

    @Test
    void halfAnOutputIsWidened() {
        OnnxOps half = new OnnxOps(graph, OnnxPrecision.FP16, new OnnxLayers.Plain(graph));
        OnnxValue weight = graph.weight("w.weight", TensorProto.DataType.FLOAT16);
        graph.output(half.linear(x, weight, Optional.empty()), "y", List.of("batch", "8"));
        NodeProto last = graph.proto().getNodeList().getLast();
        assertEquals("Cast", last.getOpType());
        assertEquals(
                TensorProto.DataType.FLOAT.getNumber(), last.getAttribute(0).getI());
        assertEquals(List.of("y"), last.getOutputList());
    }

    @Test
    void anAxisIsANumberOrAName() {
        var shape = graph.proto().getInput(0).getType().getTensorType().getShape();
        assertEquals("batch", shape.getDim(0).getDimParam());
        assertEquals(8, shape.getDim(1).getDimValue());
    }

    @Test
    void theOldestOperatorSetIsTheOneWithLayerNormalization() {
        assertEquals(OnnxOperator.LAYER_NORMALIZATION.since(), graph.opset());
    }
}
