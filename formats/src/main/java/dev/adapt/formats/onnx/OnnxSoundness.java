package dev.adapt.formats.onnx;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.onnx.proto.AttributeProto;
import dev.adapt.formats.onnx.proto.FunctionProto;
import dev.adapt.formats.onnx.proto.GraphProto;
import dev.adapt.formats.onnx.proto.NodeProto;
import dev.adapt.formats.onnx.proto.SparseTensorProto;
import dev.adapt.formats.onnx.proto.TensorProto;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** Checks all tensors of a model, those of graphs in graphs included, before an engine in native code reads it. */
final class OnnxSoundness {
    /** Bytes that sparse tensors may take together where they are made dense, as engines do on loading. */
    private static final long MOST_DENSE = 1L << 28;

    private final OnnxFile file;
    private long dense;

    private OnnxSoundness(OnnxFile file) {
        this.file = file;
    }

    /**
     * Checks a model: tensors have as many bytes as their shapes need, external data lies in the model's folder or below
     * it, names are not given twice, and sparse tensors do not inflate to more than 256 MB.
     *
     * @throws FormatException naming the tensor, if one of it does not hold
     */
    static void require(Path path) throws IOException {
        try (OnnxFile file = OnnxFile.open(path)) {
            require(file);
        }
    }

    static void require(OnnxFile file) throws IOException {
        OnnxSoundness soundness = new OnnxSoundness(file);
        soundness.graph(file.graph());
        for (FunctionProto function : file.model().getFunctionsList()) {
            soundness.nodes(function.getNodeList());
        }
    }

    private void graph(GraphProto graph) throws IOException {
        Set<String> names = new HashSet<>();
        for (TensorProto tensor : graph.getInitializerList()) {
            requireOnce(names, tensor);
            file.requireData(tensor);
        }
        for (SparseTensorProto sparse : graph.getSparseInitializerList()) {
            requireOnce(names, sparse.getValues());
            sparse(sparse);
        }
        nodes(graph.getNodeList());
    }

    private void requireOnce(Set<String> names, TensorProto tensor) {
        if (!names.add(tensor.getName())) {
            throw new FormatException(file.path(), tensor.getName(), "is given twice among the graph's initializers");
        }
    }

    private void nodes(List<NodeProto> nodes) throws IOException {
        for (NodeProto node : nodes) {
            for (AttributeProto attribute : node.getAttributeList()) {
                attribute(attribute);
            }
        }
    }

    private void attribute(AttributeProto attribute) throws IOException {
        if (attribute.hasT()) {
            file.requireData(attribute.getT());
        }
        for (TensorProto tensor : attribute.getTensorsList()) {
            file.requireData(tensor);
        }
        if (attribute.hasSparseTensor()) {
            sparse(attribute.getSparseTensor());
        }
        for (SparseTensorProto sparse : attribute.getSparseTensorsList()) {
            sparse(sparse);
        }
        if (attribute.hasG()) {
            graph(attribute.getG());
        }
        for (GraphProto graph : attribute.getGraphsList()) {
            graph(graph);
        }
    }

    private void sparse(SparseTensorProto sparse) throws IOException {
        String name = sparse.getValues().getName();
        long bytes = Long.BYTES;
        try {
            for (long dim : sparse.getDimsList()) {
                bytes = Math.multiplyExact(bytes, dim);
            }
            dense = Math.addExact(dense, bytes);
        } catch (ArithmeticException e) {
            throw new FormatException(file.path(), name, "has an impossible shape " + sparse.getDimsList());
        }
        if (bytes < 0 || dense > MOST_DENSE) {
            throw new FormatException(
                    file.path(),
                    name,
                    "is a sparse tensor of shape " + sparse.getDimsList() + ", too large to be made dense: all sparse"
                            + " tensors together may take " + (MOST_DENSE >> 20)
                            + " MB; save the model with dense ones");
        }
        file.requireData(sparse.getValues());
        file.requireData(sparse.getIndices());
    }
}
