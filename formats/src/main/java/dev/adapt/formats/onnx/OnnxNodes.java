package dev.adapt.formats.onnx;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.onnx.proto.AttributeProto;
import dev.adapt.formats.onnx.proto.NodeProto;
import dev.adapt.formats.onnx.proto.TensorProto;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** A model's graph as one who looks for patterns sees it: constants by name, and who makes and who reads each value. */
public final class OnnxNodes {
    private static final String BIAS = ".bias";

    private final SequencedMap<String, OnnxTensor> constants = new LinkedHashMap<>();
    private final Map<String, NodeProto> makers = new LinkedHashMap<>();
    private final Map<String, List<NodeProto>> readers = new LinkedHashMap<>();
    private final List<NodeProto> all;

    private OnnxNodes(List<NodeProto> all) {
        this.all = all;
    }

    /**
     * Indexes a model's graph, its initialisers and {@code Constant} nodes alike.
     *
     * @throws FormatException if a node reads what nothing before it makes, or makes what stands already
     */
    public static OnnxNodes of(OnnxFile file) throws IOException {
        OnnxNodes nodes = new OnnxNodes(file.graph().getNodeList());
        Set<String> known = new HashSet<>(Set.of(""));
        file.graph().getInputList().forEach(input -> known.add(input.getName()));
        for (TensorProto initializer : file.graph().getInitializerList()) {
            String name = initializer.getName();
            if (nodes.constants.put(name, file.tensor(name, initializer)) != null) {
                throw new FormatException(file.path(), name, "is given twice among the graph's initializers");
            }
            known.add(initializer.getName());
        }
        if (file.graph().getSparseInitializerCount() > 0) {
            throw new FormatException(
                    file.path(),
                    file.graph().getSparseInitializer(0).getValues().getName(),
                    "is a sparse tensor, which cannot be imported: save the model with dense ones");
        }
        for (NodeProto node : nodes.all) {
            nodes.add(file.path(), node, known);
            nodes.addConstant(file, node);
        }
        return nodes;
    }

    private void add(Path path, NodeProto node, Set<String> known) {
        for (String input : node.getInputList()) {
            if (!known.contains(input)) {
                throw new FormatException(
                        path, "node " + node.getName(), "reads " + input + ", which nothing before it computes");
            }
            readers.computeIfAbsent(input, absent -> new ArrayList<>()).add(node);
        }
        for (String output : node.getOutputList()) {
            if (!output.isEmpty() && !known.add(output)) {
                throw new FormatException(path, "node " + node.getName(), "computes " + output + " a second time");
            }
            makers.put(output, node);
        }
    }

    private void addConstant(OnnxFile file, NodeProto node) throws IOException {
        Optional<AttributeProto> value = attribute(node, "value");
        String name = output(node);
        if (node.getOpType().equals("Constant") && value.isPresent()) {
            constants.put(name, file.tensor(name, value.get().getT()));
        }
        // exporters write parameters with equal values once, and give the others their names this way
        if (node.getOpType().equals("Identity")) {
            constant(input(node, 0))
                    .ifPresent(
                            same -> constants.put(name, new OnnxTensor(name, same.dtype(), same.shape(), same.data())));
        }
    }

    /** The name of an input; empty if the node has none there. */
    public static String input(NodeProto node, int index) {
        return index < node.getInputCount() ? node.getInput(index) : "";
    }

    /** The name of the first output; empty if the node has none. */
    public static String output(NodeProto node) {
        return node.getOutputCount() > 0 ? node.getOutput(0) : "";
    }

    /** All constant tensors, by the name of the value. */
    public SequencedMap<String, OnnxTensor> constants() {
        return constants;
    }

    /** The constant of that name, if the value is one. */
    public Optional<OnnxTensor> constant(String value) {
        return Optional.ofNullable(constants.get(value));
    }

    /** The constants among a node's inputs. */
    public Stream<OnnxTensor> constantInputs(NodeProto node) {
        return node.getInputList().stream().flatMap(input -> constant(input).stream());
    }

    /** The node that computes a value, if one does. */
    public Optional<NodeProto> maker(String value) {
        return Optional.ofNullable(makers.get(value));
    }

    /** The nodes that read a value. */
    public List<NodeProto> readers(String value) {
        return readers.getOrDefault(value, List.of());
    }

    /** The module that a product belongs to, by the name of the bias that is added to what it computes. */
    public Optional<String> moduleOfBias(NodeProto product) {
        return readers(output(product)).stream()
                .filter(node -> node.getOpType().equals("Add"))
                .flatMap(this::constantInputs)
                .map(OnnxTensor::name)
                .filter(name -> name.endsWith(BIAS))
                .map(name -> name.substring(0, name.length() - BIAS.length()))
                .findFirst();
    }

    /**
     * The module that a node belongs to, by its own name, {@code /encoder/layer.0/MatMul}.
     *
     * @param path whose first group is the module's path
     */
    public static Optional<String> moduleOfPath(NodeProto node, Pattern path) {
        Matcher matcher = path.matcher(node.getName());
        return matcher.matches() ? Optional.of(matcher.group(1).replace('/', '.')) : Optional.empty();
    }

    /** All nodes. */
    public Stream<NodeProto> nodes() {
        return all.stream();
    }

    /** The nodes of one operator. */
    public Stream<NodeProto> nodes(String operator) {
        return all.stream().filter(node -> node.getOpType().equals(operator));
    }

    public static Optional<AttributeProto> attribute(NodeProto node, String name) {
        return node.getAttributeList().stream()
                .filter(attribute -> attribute.getName().equals(name))
                .findFirst();
    }
}
