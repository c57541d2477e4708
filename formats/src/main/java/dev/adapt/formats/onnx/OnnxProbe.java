package dev.adapt.formats.onnx;

import dev.adapt.formats.onnx.proto.GraphProto;
import dev.adapt.formats.onnx.proto.ModelProto;
import dev.adapt.formats.onnx.proto.NodeProto;
import dev.adapt.formats.onnx.proto.ValueInfoProto;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * An ONNX model whose intermediate values are outputs too, so that one can see where two models part.
 *
 * @param bytes the model; external data stays where it is, in the folder of the file
 * @param values the added outputs in the order they are computed, with the node that computes each
 */
@SuppressWarnings("ArrayRecordComponent")
public record OnnxProbe(byte[] bytes, SequencedMap<String, String> values) {
    /** Operators whose results are states that a layer could end with. */
    private static final Set<String> STATES = Set.of(
            "MatMul",
            "Gemm",
            "Add",
            "Mul",
            "Cast",
            "LayerNormalization",
            "SimplifiedLayerNormalization",
            "SkipLayerNormalization",
            "BiasGelu",
            "FusedMatMul",
            "MatMulNBits",
            "DynamicQuantizeMatMul",
            "Reshape",
            "Identity");

    /** A model as a protobuf message must be smaller. */
    private static final long MOST = Integer.MAX_VALUE - (1 << 20);

    /**
     * Adds the outputs.
     *
     * @return empty for a model that holds more than 2 GB itself, which no array holds
     */
    public static Optional<OnnxProbe> of(Path model) throws IOException {
        try (OnnxFile file = OnnxFile.open(model)) {
            OnnxSoundness.require(file);
            ModelProto.Builder changed = file.model().toBuilder();
            GraphProto.Builder graph = changed.getGraphBuilder();
            Set<String> given =
                    graph.getOutputList().stream().map(ValueInfoProto::getName).collect(Collectors.toSet());
            SequencedMap<String, String> values = new LinkedHashMap<>();
            for (NodeProto node : graph.getNodeList()) {
                String value = OnnxNodes.output(node);
                if (!value.isEmpty() && STATES.contains(node.getOpType()) && !given.contains(value)) {
                    values.put(value, node.getName().isEmpty() ? node.getOpType() + " " + value : node.getName());
                    graph.addOutput(ValueInfoProto.newBuilder().setName(value));
                }
            }
            ModelProto built = changed.build();
            return built.getSerializedSize() > MOST
                    ? Optional.empty()
                    : Optional.of(new OnnxProbe(built.toByteArray(), values));
        }
    }
}
