package dev.adapt.verify.runner;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.TensorInfo;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.graph.CacheSpec;
import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;

/** A run of an ONNX model on one batch: its inputs made as the model wants them, its outputs read. */
final class OnnxRun {
    private static final String IDS = InputSpec.IDS.name();
    private static final String MASK = InputSpec.MASK.name();
    private static final String POSITIONS = InputSpec.POSITIONS.name();

    /** The input of BERT that means 0 everywhere where it is not given. */
    private static final String TOKEN_TYPES = "token_type_ids";

    private final OnnxRunner runner;
    private final OrtSession.RunOptions options;
    private final List<String> keys;

    OnnxRun(OnnxRunner runner, OrtSession.RunOptions options) {
        this.runner = runner;
        this.options = options;
        this.keys = runner.inputNames().stream()
                .filter(name -> name.startsWith(CacheSpec.PAST))
                .toList();
    }

    /** The wanted outputs, for all tokens. */
    Map<String, DoubleTensor> outputs(Map<String, Tensor> given, Set<String> wanted) throws OrtException {
        Map<String, Tensor> inputs = complete(given);
        if (keys.isEmpty()) {
            try (OrtSession.Result result = run(inputs, Map.of(), files(wanted))) {
                return read(result, wanted);
            }
        }
        return inSteps(inputs, wanted);
    }

    /** The wanted outputs of one run, without keys and values of earlier tokens. */
    Map<String, DoubleTensor> whole(Map<String, Tensor> given, Set<String> wanted) throws OrtException {
        try (OrtSession.Result result = run(complete(given), Map.of(), files(wanted))) {
            return read(result, wanted);
        }
    }

    /** All tokens but the last of each sequence, and then the last with the keys and values of the others. */
    private Map<String, DoubleTensor> inSteps(Map<String, Tensor> inputs, Set<String> wanted) throws OrtException {
        Set<String> fetched = files(wanted);
        keys.forEach(key -> fetched.add(present(key)));
        int length = (int) required(inputs, IDS).shape().dim(1);
        int first = length > 1 ? length - 1 : length;
        try (OrtSession.Result before = run(sliced(inputs, 0, first), Map.of(), fetched)) {
            Map<String, DoubleTensor> outputs = read(before, wanted);
            if (first == length) {
                return outputs;
            }
            Map<String, OnnxTensor> past = new LinkedHashMap<>();
            for (String key : keys) {
                past.put(key, tensor(before, present(key)));
            }
            try (OrtSession.Result after = run(sliced(inputs, first, length), past, fetched)) {
                read(after, wanted)
                        .forEach((name, last) -> outputs.merge(
                                name,
                                last,
                                // keys and values, and a classifier's logits, are those of the whole
                                (early, late) -> late.shape().rank() == 3 ? joined(early, late) : late));
            }
            return outputs;
        }
    }

    private static String present(String key) {
        return CacheSpec.PRESENT + key.substring(CacheSpec.PAST.length());
    }

    /** Tokens {@code from} to {@code to}; the mask is that of all tokens so far. */
    private static Map<String, Tensor> sliced(Map<String, Tensor> inputs, int from, int to) {
        Map<String, Tensor> sliced = new LinkedHashMap<>();
        inputs.forEach((name, tensor) -> sliced.put(
                name, tensor instanceof LongTensor all ? columns(all, name.equals(MASK) ? 0 : from, to) : tensor));
        return sliced;
    }

    private static LongTensor columns(LongTensor all, int from, int to) {
        int rows = (int) all.shape().dim(0);
        int width = (int) all.shape().dim(1);
        long[] values = new long[rows * (to - from)];
        for (int row = 0; row < rows; row++) {
            System.arraycopy(all.values(), row * width + from, values, row * (to - from), to - from);
        }
        return new LongTensor(Shape.of(rows, to - from), values);
    }

    /** [batch, early, width] and [batch, late, width] as [batch, early + late, width]. */
    private static DoubleTensor joined(DoubleTensor early, DoubleTensor late) {
        int rows = (int) early.shape().dim(0);
        int one = early.values().length / Math.max(1, rows);
        int other = late.values().length / Math.max(1, rows);
        double[] values = new double[rows * (one + other)];
        for (int row = 0; row < rows; row++) {
            System.arraycopy(early.values(), row * one, values, row * (one + other), one);
            System.arraycopy(late.values(), row * other, values, row * (one + other) + one, other);
        }
        long tokens = early.shape().dim(1) + late.shape().dim(1);
        return new DoubleTensor(Shape.of(rows, tokens, late.shape().dim(2)), values);
    }

    private Set<String> files(Set<String> wanted) {
        return wanted.stream().map(runner::fileName).collect(Collectors.toCollection(LinkedHashSet::new));
    }

    /** @param past keys and values of earlier tokens; where there are none, empty ones are given */
    private OrtSession.Result run(Map<String, Tensor> inputs, Map<String, OnnxTensor> past, Set<String> outputs)
            throws OrtException {
        List<OnnxTensor> own = new ArrayList<>();
        try {
            Map<String, OnnxTensor> feed = new LinkedHashMap<>(past);
            for (Map.Entry<String, Tensor> input : inputs.entrySet()) {
                OnnxTensor made = tensor(input.getKey(), input.getValue());
                own.add(made);
                feed.put(input.getKey(), made);
            }
            for (String key : past.isEmpty() ? keys : List.<String>of()) {
                OnnxTensor none =
                        none(runner, key, required(inputs, IDS).shape().dim(0));
                own.add(none);
                feed.put(key, none);
            }
            return runner.session().run(feed, outputs, options);
        } finally {
            own.forEach(OnnxTensor::close);
        }
    }

    private static Tensor required(Map<String, Tensor> inputs, String name) {
        Tensor input = inputs.get(name);
        if (input == null) {
            throw new IllegalArgumentException("the comparison gives no " + name);
        }
        return input;
    }

    /** No keys or values: [batch, heads, 0, width]. */
    static OnnxTensor none(OnnxRunner runner, String key, long batch) throws OrtException {
        TensorInfo info = runner.inputs().get(key);
        if (info == null || info.getShape().length != 4 || info.getShape()[1] < 1 || info.getShape()[3] < 1) {
            throw new FormatException(
                    runner.path(), key, "is not [batch, heads, past, width] with numbers for heads and width");
        }
        long[] shape = {batch, info.getShape()[1], 0, info.getShape()[3]};
        OrtEnvironment environment = OrtEnvironment.getEnvironment();
        return info.type == OnnxJavaType.FLOAT
                ? OnnxTensor.createTensor(environment, FloatBuffer.allocate(0), shape)
                : OnnxTensor.createTensor(environment, ByteBuffer.allocateDirect(0), shape, info.type);
    }

    /** Inputs that are called otherwise, but tell by their name what they are. */
    private void addByOtherNames(Map<String, Tensor> complete) {
        for (String name : runner.inputNames()) {
            if (complete.containsKey(name) || name.startsWith(CacheSpec.PAST)) {
                continue;
            }
            String lower = name.toLowerCase(Locale.ROOT);
            String known = lower.contains("mask")
                    ? MASK
                    : lower.contains("type") || lower.contains("segment")
                            ? TOKEN_TYPES
                            : lower.contains("position") ? POSITIONS : lower.matches(".*(ids?|tokens?)$") ? IDS : "";
            Tensor same = complete.get(known);
            if (same != null && !runner.inputNames().contains(known)) {
                complete.put(name, same);
            }
        }
    }

    private Map<String, Tensor> complete(Map<String, Tensor> given) {
        Map<String, Tensor> complete = new LinkedHashMap<>(given);
        if (given.get(IDS) instanceof LongTensor ids) {
            complete.putIfAbsent(TOKEN_TYPES, new LongTensor(ids.shape(), new long[ids.values().length]));
        }
        if (given.get(MASK) instanceof LongTensor mask) {
            complete.putIfAbsent(POSITIONS, positions(mask));
        }
        addByOtherNames(complete);
        Set<String> missing = new TreeSet<>(runner.inputNames());
        missing.removeAll(complete.keySet());
        keys.forEach(missing::remove);
        if (!missing.isEmpty()) {
            throw new FormatException(
                    runner.path(),
                    "takes inputs that the comparison does not give: " + String.join(", ", missing) + "; given are "
                            + String.join(", ", new TreeSet<>(given.keySet())));
        }
        complete.keySet().retainAll(runner.inputNames());
        return complete;
    }

    /** Counted from the first token that the mask keeps, 0 before it, as decoders count where they are given none. */
    private static LongTensor positions(LongTensor mask) {
        int width = (int) mask.shape().dim(1);
        long[] positions = new long[mask.values().length];
        for (int i = 1; i < positions.length; i++) {
            boolean begun = i % width != 0 && (positions[i - 1] > 0 || mask.values()[i - 1] != 0);
            positions[i] = begun ? positions[i - 1] + 1 : 0;
        }
        return new LongTensor(mask.shape(), positions);
    }

    private OnnxTensor tensor(String name, Tensor input) throws OrtException {
        OrtEnvironment environment = OrtEnvironment.getEnvironment();
        long[] shape = input.shape().toArray();
        TensorInfo wanted = runner.inputs().get(name);
        if (wanted == null) {
            throw new IllegalArgumentException("the model takes no input " + name);
        }
        if (input instanceof LongTensor integers) {
            return switch (wanted.type) {
                case INT64 -> OnnxTensor.createTensor(environment, LongBuffer.wrap(integers.values()), shape);
                case INT32 -> OnnxTensor.createTensor(environment, IntBuffer.wrap(narrow(integers)), shape);
                default -> throw wrongType(name, wanted, "integers");
            };
        }
        if (wanted.type != OnnxJavaType.FLOAT) {
            throw wrongType(name, wanted, "float32 numbers");
        }
        return OnnxTensor.createTensor(environment, FloatBuffer.wrap(input.toFloats()), shape);
    }

    private static int[] narrow(LongTensor integers) {
        return Arrays.stream(integers.values()).mapToInt(Math::toIntExact).toArray();
    }

    private FormatException wrongType(String name, TensorInfo wanted, String given) {
        return new FormatException(
                runner.path(), name, "takes " + wanted.type + " values, the comparison gives " + given);
    }

    private OnnxTensor tensor(OrtSession.Result result, String name) {
        if (result.get(name).orElse(null) instanceof OnnxTensor tensor) {
            return tensor;
        }
        throw new FormatException(runner.path(), name, "is not an output that holds a tensor");
    }

    private Map<String, DoubleTensor> read(OrtSession.Result result, Set<String> wanted) throws OrtException {
        Map<String, DoubleTensor> outputs = new LinkedHashMap<>();
        for (String name : wanted) {
            outputs.put(name, read(name, tensor(result, runner.fileName(name))));
        }
        return outputs;
    }

    private DoubleTensor read(String name, OnnxTensor tensor) throws OrtException {
        Shape shape = Shape.of(tensor.getInfo().getShape());
        double[] values = new double[Math.toIntExact(shape.elements())];
        switch (tensor.getInfo().type) {
            case FLOAT, FLOAT16, BFLOAT16 -> {
                FloatBuffer floats = tensor.getFloatBuffer();
                for (int i = 0; i < values.length; i++) {
                    values[i] = floats.get(i);
                }
            }
            case DOUBLE -> tensor.getDoubleBuffer().get(values);
            default ->
                throw new FormatException(
                        runner.path(),
                        name,
                        "holds " + tensor.getInfo().type + " values, expected floating-point numbers");
        }
        return new DoubleTensor(shape, values);
    }
}
