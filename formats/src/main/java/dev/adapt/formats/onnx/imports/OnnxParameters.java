package dev.adapt.formats.onnx.imports;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.onnx.OnnxNodes;
import dev.adapt.formats.onnx.OnnxTensor;
import dev.adapt.formats.onnx.proto.AttributeProto;
import dev.adapt.formats.onnx.proto.NodeProto;
import dev.adapt.formats.tensor.Shape;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.TreeMap;
import java.util.regex.Pattern;

/**
 * Gives the constants of an exported PyTorch model their parameters' names back.
 *
 * <p>Exporters keep the names of parameters that the graph reads as they are. A linear layer's weight, which the graph
 * reads transposed, is folded into a new constant with an anonymous name ({@code onnx::MatMul_787}); the node that reads
 * it still tells the module, by its own name ({@code /encoder/layer.0/attention/self/query/MatMul}) or by the name of the
 * bias that is added next.
 */
final class OnnxParameters {
    /**
     * A parameter found.
     *
     * @param transposed whether the file holds the matrix as [in, out], and the parameter is [out, in]
     */
    record Found(OnnxTensor tensor, boolean transposed) {
        /** The parameter's shape. */
        Shape shape() {
            Shape own = tensor.shape();
            return transposed ? Shape.of(own.dim(1), own.dim(0)) : own;
        }
    }

    private static final Pattern NAME = Pattern.compile("[\\w.]+\\.(weight|bias)");
    private static final Pattern NODE = Pattern.compile("/(.+)/(MatMul|Gemm|Add)(_\\d+)?");

    private final Path path;
    private final OnnxNodes nodes;
    private final SequencedMap<String, Found> found = new TreeMap<>();
    private final List<String> nameless = new ArrayList<>();

    private OnnxParameters(Path path, OnnxNodes nodes) {
        this.path = path;
        this.nodes = nodes;
    }

    /**
     * The parameters by name.
     *
     * @throws FormatException if a tensor cannot be named, or two get one name
     */
    static SequencedMap<String, Found> of(Path path, OnnxNodes nodes) {
        OnnxParameters parameters = new OnnxParameters(path, nodes);
        nodes.constants().values().forEach(parameters::find);
        if (!parameters.nameless.isEmpty()) {
            throw new FormatException(
                    path,
                    "holds " + parameters.nameless.size() + " tensors whose names as parameters cannot be recovered: "
                            + String.join(", ", parameters.nameless));
        }
        return parameters.found;
    }

    private void find(OnnxTensor tensor) {
        // integers are shapes, indices and buffers such as position_ids; lone floats are constants of formulas
        boolean small = tensor.shape().rank() < 2 && tensor.shape().elements() < 2;
        boolean integers = !tensor.isFloat() && tensor.dtype().bits() > 8;
        if (small || integers || nodes.readers(tensor.name()).isEmpty()) {
            return;
        }
        Optional<String> name = isName(tensor) ? Optional.of(tensor.name()) : recovered(tensor);
        if (name.isEmpty() || !tensor.isFloat()) {
            nameless.add(tensor.name() + " (" + tensor.dtype() + " " + tensor.shape() + ")");
            return;
        }
        Found before = found.put(name.get(), new Found(tensor, isTransposed(tensor)));
        if (before != null && !before.tensor().name().equals(tensor.name())) {
            throw new FormatException(
                    path,
                    "holds two tensors for the parameter " + name.get() + ": "
                            + before.tensor().name() + " and " + tensor.name());
        }
    }

    private static boolean isName(OnnxTensor tensor) {
        return NAME.matcher(tensor.name()).matches();
    }

    /** A matrix that a product reads directly, with nothing to turn it, stands as [in, out]. */
    private boolean isTransposed(OnnxTensor tensor) {
        return tensor.shape().rank() == 2
                && nodes.readers(tensor.name()).stream().anyMatch(node -> isProduct(node, tensor) && !turns(node));
    }

    private static boolean isProduct(NodeProto node, OnnxTensor tensor) {
        return (node.getOpType().equals("MatMul") || node.getOpType().equals("Gemm"))
                && OnnxNodes.input(node, 1).equals(tensor.name());
    }

    private static boolean turns(NodeProto node) {
        return OnnxNodes.attribute(node, "transB").map(AttributeProto::getI).orElse(0L) != 0;
    }

    private Optional<String> recovered(OnnxTensor tensor) {
        for (NodeProto node : nodes.readers(tensor.name())) {
            Optional<String> module = switch (tensor.shape().rank()) {
                case 2 ->
                    isProduct(node, tensor)
                            ? OnnxNodes.moduleOfPath(node, NODE).or(() -> nodes.moduleOfBias(node))
                            : Optional.empty();
                case 1 ->
                    node.getOpType().equals("Add") || node.getOpType().equals("Gemm")
                            ? OnnxNodes.moduleOfPath(node, NODE)
                            : Optional.empty();
                default -> Optional.empty();
            };
            if (module.isPresent()) {
                return module.map(name -> name + (tensor.shape().rank() == 2 ? ".weight" : ".bias"));
            }
        }
        return Optional.empty();
    }
}
