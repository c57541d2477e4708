package dev.adapt.formats.onnx;

import dev.adapt.formats.onnx.proto.AttributeProto;
import dev.adapt.formats.onnx.proto.GraphProto;
import dev.adapt.formats.onnx.proto.NodeProto;
import dev.adapt.formats.onnx.proto.TensorProto;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/** In which numbers a graph computes. Its inputs and outputs are float32 and integers either way. */
public enum OnnxPrecision {
    FP32,
    /**
     * Matrices are float16, and so are their products and what stands between two of them. Sums, normalisations and softmax
     * are float32, so that what adds up along the layers is never rounded to float16: the division that PyTorch's autocast
     * makes. A mixture of experts may send a token to another expert where two score alike to within float16's rounding; the
     * outputs for that token then differ by more than rounding.
     */
    FP16,
    /**
     * Weights of linear layers and embedding tables are 8-bit integers, with a scale for each output and each row; products
     * with linear layers are of integers, to which inputs are rounded while the graph runs. All else is float32.
     */
    INT8,
    /** The same with weights of linear layers in 4 bits, in blocks of 32 inputs with a scale and a zero point each. */
    INT4;

    /** The precision that a user calls {@code name}: {@code fp16}, but also {@code float16}, {@code f16} or {@code half}. */
    public static Optional<OnnxPrecision> named(String name) {
        return switch (name.toLowerCase(Locale.ROOT)) {
            case "fp32", "float32", "f32" -> Optional.of(FP32);
            case "fp16", "float16", "f16", "half" -> Optional.of(FP16);
            case "int8" -> Optional.of(INT8);
            case "int4" -> Optional.of(INT4);
            default -> Optional.empty();
        };
    }

    /** Whether weights are integers with scales. */
    public boolean isQuantized() {
        return this == INT8 || this == INT4;
    }

    /**
     * That of a model's numbers of floating point, whoever wrote it: FP16 if a node computes in float16, and not merely widens weights that are stored
     * so.
     *
     * @throws dev.adapt.formats.FormatException if the file is no ONNX model, or {@link OnnxSoundness} refuses it
     */
    public static OnnxPrecision of(Path model) throws IOException {
        try (OnnxFile file = OnnxFile.open(model)) {
            OnnxSoundness.require(file);
            GraphProto graph = file.graph();
            Set<String> stored = graph.getInitializerList().stream()
                    .filter(tensor -> isHalf(tensor.getDataType()))
                    .map(TensorProto::getName)
                    .collect(Collectors.toSet());
            return graph.getNodeList().stream().anyMatch(node -> computesHalf(node, stored)) ? FP16 : FP32;
        }
    }

    private static boolean computesHalf(NodeProto node, Set<String> stored) {
        return node.getOpType().equals("Cast")
                ? OnnxNodes.attribute(node, "to")
                        .map(AttributeProto::getI)
                        .filter(OnnxPrecision::isHalf)
                        .isPresent()
                : node.getInputList().stream().anyMatch(stored::contains);
    }

    private static boolean isHalf(long type) {
        return type == TensorProto.DataType.FLOAT16.getNumber();
    }

    /** What an option calls it. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
