package dev.adapt.formats.onnx;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.onnx.proto.GraphProto;
import dev.adapt.formats.onnx.proto.ModelProto;
import dev.adapt.formats.onnx.proto.NodeProto;
import dev.adapt.formats.onnx.proto.OperatorSetIdProto;
import dev.adapt.formats.onnx.proto.StringStringEntryProto;
import dev.adapt.formats.onnx.proto.TensorProto;
import dev.adapt.formats.onnx.proto.TensorShapeProto;
import dev.adapt.formats.onnx.proto.TypeProto;
import dev.adapt.formats.onnx.proto.ValueInfoProto;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.TreeMap;

/**
 * What an ONNX file says of itself, of any exporter and with any operators. External data is named and not read.
 *
 * @param producer the program that wrote it and its version; empty where the file does not say
 * @param opsets versions of the operator sets, by domain; the standard domain is "ai.onnx"
 * @param inputs without those that only name initializers
 * @param operators how often the graph has each operator
 * @param bytes size of the file, without external data
 */
public record OnnxSummary(
        String producer,
        long irVersion,
        SequencedMap<String, Long> opsets,
        List<Value> inputs,
        List<Value> outputs,
        List<Initializer> initializers,
        SequencedMap<String, Long> operators,
        long bytes) {
    private static final String STANDARD = "ai.onnx";

    /** Types that opset 21 added; adapt computes with neither. */
    private static final int UINT4 = 21;

    private static final int INT4 = 22;

    /**
     * An input or output.
     *
     * @param type "float", "int64" …; "not a tensor" for sequences, maps and optional values
     * @param dims sizes and names of sizes, "?" where there is neither; empty where the rank is not known
     */
    public record Value(String name, String type, Optional<List<String>> dims) {
        /** The dims as text: "[batch, sequence]", or "of any shape". */
        public String shape() {
            return dims.map(List::toString).orElse("of any shape");
        }
    }

    /**
     * A weight or other constant.
     *
     * @param dtype the name of its type in ONNX, in lower case
     * @param bits of an element; 0 for a type whose size is not fixed
     * @param file the external file that holds its data, as the model names it; empty if the model holds them itself
     */
    public record Initializer(String name, String dtype, int bits, Shape shape, Optional<String> file) {
        /** The size of its data, or -1 where that is not known. */
        public long bytes() {
            return bits == 0 ? -1 : Math.ceilDiv(shape.elements() * bits, Byte.SIZE);
        }
    }

    public OnnxSummary {
        inputs = List.copyOf(inputs);
        outputs = List.copyOf(outputs);
        initializers = List.copyOf(initializers);
    }

    /**
     * Reads a file's structure.
     *
     * @throws FormatException if it is no ONNX model, or an initializer has an impossible shape
     */
    public static OnnxSummary of(Path path) throws IOException {
        try (OnnxFile file = OnnxFile.open(path)) {
            ModelProto model = file.model();
            GraphProto graph = model.getGraph();
            SequencedMap<String, Long> opsets = new TreeMap<>();
            for (OperatorSetIdProto opset : model.getOpsetImportList()) {
                opsets.put(opset.getDomain().isEmpty() ? STANDARD : opset.getDomain(), opset.getVersion());
            }
            SequencedMap<String, Long> operators = new TreeMap<>();
            for (NodeProto node : graph.getNodeList()) {
                operators.merge(node.getOpType(), 1L, Long::sum);
            }
            List<Initializer> initializers = initializers(path, graph);
            List<String> names =
                    initializers.stream().map(Initializer::name).sorted().toList();
            return new OnnxSummary(
                    (model.getProducerName() + " " + model.getProducerVersion()).strip(),
                    model.getIrVersion(),
                    opsets,
                    graph.getInputList().stream()
                            .filter(input -> Collections.binarySearch(names, input.getName()) < 0)
                            .map(OnnxSummary::value)
                            .toList(),
                    graph.getOutputList().stream().map(OnnxSummary::value).toList(),
                    initializers,
                    operators,
                    file.snapshots().getFirst().size());
        }
    }

    /** The number of elements of all initializers. */
    public long parameters() {
        return initializers.stream()
                .mapToLong(initializer -> initializer.shape().elements())
                .sum();
    }

    /** The external files, each once. */
    public List<String> files() {
        return initializers.stream()
                .flatMap(initializer -> initializer.file().stream())
                .distinct()
                .sorted()
                .toList();
    }

    private static List<Initializer> initializers(Path path, GraphProto graph) {
        List<TensorProto> tensors = new ArrayList<>(graph.getInitializerList());
        graph.getSparseInitializerList().forEach(sparse -> tensors.add(sparse.getValues()));
        List<Initializer> initializers = new ArrayList<>();
        long bits = 0;
        for (TensorProto tensor : tensors) {
            Shape shape;
            try {
                shape = new Shape(tensor.getDimsList());
                bits = Math.addExact(bits, Math.multiplyExact(shape.elements(), Double.SIZE));
            } catch (IllegalArgumentException | ArithmeticException e) {
                throw new FormatException(path, tensor.getName(), "has an impossible shape " + tensor.getDimsList());
            }
            Optional<String> file = tensor.getDataLocation() == TensorProto.DataLocation.EXTERNAL
                    ? Optional.of(location(tensor))
                    : Optional.empty();
            initializers.add(new Initializer(
                    tensor.getName(), type(tensor.getDataType()), bits(tensor.getDataType()), shape, file));
        }
        return initializers;
    }

    private static String location(TensorProto tensor) {
        return tensor.getExternalDataList().stream()
                .filter(entry -> entry.getKey().equals("location"))
                .map(StringStringEntryProto::getValue)
                .reduce("", (first, second) -> second);
    }

    private static Value value(ValueInfoProto info) {
        if (!info.getType().hasTensorType()) {
            return new Value(info.getName(), "not a tensor", Optional.empty());
        }
        TypeProto.Tensor tensor = info.getType().getTensorType();
        Optional<List<String>> dims = tensor.hasShape()
                ? Optional.of(tensor.getShape().getDimList().stream()
                        .map(OnnxSummary::dim)
                        .toList())
                : Optional.empty();
        return new Value(info.getName(), type(tensor.getElemType()), dims);
    }

    private static String dim(TensorShapeProto.Dimension dim) {
        return switch (dim.getValueCase()) {
            case DIM_VALUE -> Long.toString(dim.getDimValue());
            case DIM_PARAM -> dim.getDimParam();
            case VALUE_NOT_SET -> "?";
        };
    }

    private static int bits(int number) {
        return OnnxTensor.dtype(number).map(Dtype::bits).orElse(number == UINT4 || number == INT4 ? 4 : 0);
    }

    private static String type(int number) {
        TensorProto.DataType type = TensorProto.DataType.forNumber(number);
        return switch (number) {
            case UINT4 -> "uint4";
            case INT4 -> "int4";
            default -> type == null ? "type " + number : type.name().toLowerCase(Locale.ROOT);
        };
    }
}
