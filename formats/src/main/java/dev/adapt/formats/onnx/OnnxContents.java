package dev.adapt.formats.onnx;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.onnx.proto.AttributeProto;
import dev.adapt.formats.onnx.proto.NodeProto;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.tensor.FloatFormat;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * The weights of an ONNX model, whoever exported it, under the names of the parameters that they were, as far as the graph
 * tells these. Integers that stand for quantized weights are read as the numbers they stand for.
 */
public final class OnnxContents implements AutoCloseable {
    private static final Pattern PARAMETER = Pattern.compile("[\\w.]+\\.(weight|bias)");
    private static final Pattern MODULE = Pattern.compile("/(.+)/(MatMul|Gemm|Add|Conv)(_quant)?(_\\d+)?(_quant)?");
    private static final String QUANTIZED = "_quantized";

    /** Operators whose presence says that products are of integers. */
    private static final Set<String> INTEGER = Set.of(
            "MatMulInteger",
            "DynamicQuantizeLinear",
            "DynamicQuantizeMatMul",
            "QLinearMatMul",
            "QGemm",
            "MatMulIntegerToFloat",
            "ConvInteger",
            "MatMulNBits",
            "DequantizeLinear");

    /**
     * One weight.
     *
     * @param name in the file
     * @param parameter the parameter that it was, where that is known
     * @param shape as it is stored
     * @param turned whether a matrix is stored [in, out], as far as the graph tells
     * @param dtype of its elements
     * @param step the largest distance of two neighbouring quantized values; 0 where it is not quantized
     */
    public record Weight(
            String name, Optional<String> parameter, Shape shape, boolean turned, Dtype dtype, double step) {}

    private final OnnxFile file;
    private final OnnxNodes nodes;

    private OnnxContents(OnnxFile file, OnnxNodes nodes) {
        this.file = file;
        this.nodes = nodes;
    }

    /**
     * Opens a model.
     *
     * @throws FormatException if it is no ONNX model, or {@link OnnxSoundness} refuses it
     */
    public static OnnxContents open(Path path) throws IOException {
        OnnxFile file = OnnxFile.open(path);
        try {
            OnnxSoundness.require(file);
            return new OnnxContents(file, OnnxNodes.of(file));
        } catch (IOException | RuntimeException e) {
            file.close();
            throw e;
        }
    }

    /** Whether a model multiplies integers in place of floating-point numbers. */
    public static boolean computesIntegers(Path path) throws IOException {
        try (OnnxFile file = OnnxFile.open(path)) {
            return file.graph().getNodeList().stream().anyMatch(node -> INTEGER.contains(node.getOpType()));
        }
    }

    /** Whether it holds an adapter's matrices beside the base's weights. */
    public boolean holdsAdapter() {
        return nodes.constants().keySet().stream()
                .anyMatch(name -> name.contains(".lora_") || name.startsWith("base_model.model."));
    }

    /** The weights, in the file's order: tensors of floating-point or quantized numbers that the graph reads. */
    public List<Weight> weights() {
        List<Weight> weights = new ArrayList<>();
        Set<String> scales = nodes.constants().keySet().stream()
                .filter(name -> name.endsWith(QUANTIZED))
                .map(name -> name.substring(0, name.length() - QUANTIZED.length()) + "_scale")
                .collect(Collectors.toSet());
        for (OnnxTensor tensor : nodes.constants().values()) {
            boolean lone = tensor.shape().elements() < 2 && tensor.shape().rank() < 2;
            boolean quantized = scale(tensor.name()).isPresent();
            if (lone
                    || scales.contains(tensor.name())
                    || nodes.readers(tensor.name()).isEmpty()) {
                continue;
            }
            if (tensor.isFloat() || quantized) {
                weights.add(new Weight(
                        tensor.name(),
                        parameter(tensor),
                        tensor.shape(),
                        isTurned(tensor),
                        tensor.dtype(),
                        quantized ? step(tensor) : 0));
            }
        }
        return weights;
    }

    /** The values of a weight, in its stored shape. */
    public FloatTensor values(Weight weight) {
        OnnxTensor tensor = nodes.constant(weight.name())
                .orElseThrow(() -> new IllegalArgumentException("the model has no " + weight.name()));
        return tensor.isFloat() ? floats(tensor) : dequantized(tensor);
    }

    /**
     * The base of rotary position embeddings, where the graph holds their frequencies: a constant that falls from 1 by one
     * factor.
     */
    public OptionalDouble ropeBase() {
        return nodes.constants().values().stream()
                .filter(tensor -> tensor.isFloat()
                        && tensor.shape().elements() >= 2
                        && tensor.shape().elements() <= 1024)
                .mapToDouble(tensor -> ropeBase(floats(tensor).values()))
                .filter(base -> base > 1)
                .findFirst();
    }

    private static double ropeBase(float[] values) {
        if (values[0] != 1 || !(values[1] > 0 && values[1] < 1)) {
            return 0;
        }
        double ratio = Math.pow(values[values.length - 1], 1.0 / (values.length - 1));
        for (int i = 0; i < values.length; i++) {
            if (!(Math.abs(values[i] - Math.pow(ratio, i)) <= 1e-4 * values[i])) {
                return 0;
            }
        }
        return Math.pow(ratio, -values.length);
    }

    /** The rows of the table that ids of this input are looked up in, where the graph does so directly. */
    public OptionalInt rowsLookedUpBy(String input) {
        return nodes.readers(input).stream()
                .flatMap(node -> node.getOpType().equals("Cast")
                        ? nodes.readers(OnnxNodes.output(node)).stream()
                        : Stream.of(node))
                .filter(node -> node.getOpType().equals("Gather"))
                .flatMap(node -> nodes.constant(OnnxNodes.input(node, 0)).stream())
                .filter(table -> table.shape().rank() == 2)
                .mapToInt(table -> Math.toIntExact(table.shape().dim(0)))
                .max();
    }

    private Optional<String> parameter(OnnxTensor tensor) {
        String bare = tensor.name().replaceFirst(QUANTIZED + "$", "");
        if (PARAMETER.matcher(bare).matches()) {
            return Optional.of(bare);
        }
        for (NodeProto node : nodes.readers(tensor.name())) {
            Optional<String> module = OnnxNodes.moduleOfPath(node, MODULE).or(() -> nodes.moduleOfBias(node));
            if (module.isPresent()) {
                return module.map(name -> name + (tensor.shape().rank() == 1 ? ".bias" : ".weight"));
            }
        }
        return Optional.empty();
    }

    /** A matrix that a product reads with nothing to turn it, as it is or dequantized, stands as [in, out]. */
    private boolean isTurned(OnnxTensor tensor) {
        if (tensor.shape().rank() != 2) {
            return false;
        }
        String read = reader(tensor.name()).map(OnnxNodes::output).orElse(tensor.name());
        return nodes.readers(read).stream()
                .anyMatch(node ->
                        (node.getOpType().contains("MatMul") || node.getOpType().equals("Gemm"))
                                && OnnxNodes.input(node, 1).equals(read)
                                && OnnxNodes.attribute(node, "transB")
                                                .map(AttributeProto::getI)
                                                .orElse(0L)
                                        == 0);
    }

    private FloatTensor floats(OnnxTensor tensor) {
        FloatFormat format = tensor.dtype().floatFormat().orElseThrow();
        float[] values = new float[Math.toIntExact(tensor.shape().elements())];
        format.decode(tensor.data(), 0, values, values.length);
        return new FloatTensor(tensor.shape(), values);
    }

    /** What quantized numbers are multiplied with, by the names that quantizers give or by the node that reads them. */
    private Optional<OnnxTensor> scale(String name) {
        if (name.endsWith(QUANTIZED)) {
            return nodes.constant(name.substring(0, name.length() - QUANTIZED.length()) + "_scale")
                    .filter(OnnxTensor::isFloat);
        }
        return reader(name)
                .flatMap(node -> nodes.constant(OnnxNodes.input(node, 1)))
                .filter(OnnxTensor::isFloat);
    }

    private Optional<OnnxTensor> zeroPoint(String name) {
        return name.endsWith(QUANTIZED)
                ? nodes.constant(name.substring(0, name.length() - QUANTIZED.length()) + "_zero_point")
                : reader(name).flatMap(node -> nodes.constant(OnnxNodes.input(node, 2)));
    }

    private Optional<NodeProto> reader(String name) {
        return nodes.readers(name).stream()
                .filter(node -> node.getOpType().equals("DequantizeLinear")
                        && OnnxNodes.input(node, 0).equals(name))
                .findFirst();
    }

    private double step(OnnxTensor tensor) {
        double step = 0;
        for (float scale : floats(scale(tensor.name()).orElseThrow()).values()) {
            step = Math.max(step, Math.abs(scale));
        }
        return step;
    }

    private FloatTensor dequantized(OnnxTensor tensor) {
        float[] scales = floats(scale(tensor.name()).orElseThrow()).values();
        Optional<OnnxTensor> zero = zeroPoint(tensor.name());
        Shape shape = tensor.shape();
        float[] values = new float[Math.toIntExact(shape.elements())];
        long last = shape.dim(shape.rank() - 1);
        // one scale for all, or one for each column, or one for each row
        boolean columns = scales.length == last;
        long rowSize = shape.rank() == 0 ? 1 : shape.elements() / Math.max(1, shape.dim(0));
        for (int i = 0; i < values.length; i++) {
            int group = scales.length == 1 ? 0 : Math.toIntExact(columns ? i % last : i / rowSize);
            if (group >= scales.length) {
                throw new FormatException(
                        file.path(),
                        tensor.name(),
                        "has " + scales.length + " scales, which do not" + " fit its shape " + shape);
            }
            long origin = zero.map(own -> integer(own, own.shape().elements() == 1 ? 0 : group))
                    .orElse(0L);
            values[i] = (integer(tensor, i) - origin) * scales[group];
        }
        return new FloatTensor(shape, values);
    }

    private static long integer(OnnxTensor tensor, long index) {
        MemorySegment data = tensor.data();
        byte bits = data.get(ValueLayout.JAVA_BYTE, Math.min(index, data.byteSize() - 1));
        return tensor.dtype() == Dtype.U8 ? Byte.toUnsignedLong(bits) : bits;
    }

    @Override
    public void close() {
        file.close();
    }
}
