package dev.adapt.formats.onnx;

import dev.adapt.formats.onnx.proto.AttributeProto;
import dev.adapt.formats.onnx.proto.NodeProto;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.stream.Stream;

/** A model's graph as one who looks for patterns sees it: constants by name, and who makes and who reads each value. */
final class OnnxNodes {
    private final SequencedMap<String, OnnxTensor> constants = new LinkedHashMap<>();
    private final Map<String, NodeProto> makers = new LinkedHashMap<>();
    private final Map<String, List<NodeProto>> readers = new LinkedHashMap<>();
    private final List<NodeProto> all;

    private OnnxNodes(List<NodeProto> all) {
        this.all = all;
    }

    /** Indexes a model's graph, its initialisers and {@code Constant} nodes alike. */
    static OnnxNodes of(OnnxFile file) throws IOException {
        OnnxNodes nodes = new OnnxNodes(file.graph().getNodeList());
        for (var initializer : file.graph().getInitializerList()) {
            nodes.constants.put(initializer.getName(), file.tensor(initializer.getName(), initializer));
        }
        for (NodeProto node : nodes.all) {
            for (String output : node.getOutputList()) {
                nodes.makers.put(output, node);
            }
            for (String input : node.getInputList()) {
                nodes.readers
                        .computeIfAbsent(input, absent -> new ArrayList<>())
                        .add(node);
            }
            Optional<AttributeProto> value = attribute(node, "value");
            if (node.getOpType().equals("Constant") && value.isPresent()) {
                nodes.constants.put(
                        node.getOutput(0),
                        file.tensor(node.getOutput(0), value.get().getT()));
            }
            // exporters write parameters with equal values once, and give the others their names this way
            if (node.getOpType().equals("Identity")) {
                nodes.constant(node.getInput(0))
                        .ifPresent(same -> nodes.constants.put(
                                node.getOutput(0),
                                new OnnxTensor(node.getOutput(0), same.dtype(), same.shape(), same.data())));
            }
        }
        return nodes;
    }

    /** All constant tensors, by the name of the value. */
    SequencedMap<String, OnnxTensor> constants() {
        return constants;
    }

    /** The constant of that name, if the value is one. */
    Optional<OnnxTensor> constant(String value) {
        return Optional.ofNullable(constants.get(value));
    }

    /** The constants among a node's inputs. */
    Stream<OnnxTensor> constantInputs(NodeProto node) {
        return node.getInputList().stream().flatMap(input -> constant(input).stream());
    }

    /** The node that computes a value, if one does. */
    Optional<NodeProto> maker(String value) {
        return Optional.ofNullable(makers.get(value));
    }

    /** The nodes that read a value. */
    List<NodeProto> readers(String value) {
        return readers.getOrDefault(value, List.of());
    }

    /** All nodes. */
    Stream<NodeProto> nodes() {
        return all.stream();
    }

    /** The nodes of one operator. */
    Stream<NodeProto> nodes(String operator) {
        return all.stream().filter(node -> node.getOpType().equals(operator));
    }

    static Optional<AttributeProto> attribute(NodeProto node, String name) {
        return node.getAttributeList().stream()
                .filter(attribute -> attribute.getName().equals(name))
                .findFirst();
    }
}
