package dev.adapt.verify;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtLoraAdapter;
import ai.onnxruntime.OrtProvider;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.TensorInfo;
import ai.onnxruntime.providers.OrtCUDAProviderOptions;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.generate.Decoder;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.onnx.OnnxPrecision;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;

/** An ONNX model in ONNX Runtime. */
public final class OnnxRunner implements AutoCloseable {
    private static final String IDS = "input_ids";

    /** The input of BERT that means 0 everywhere where it is not given. */
    private static final String TOKEN_TYPES = "token_type_ids";

    private final Path path;
    private final String output;
    private final OnnxPrecision precision;
    private final OrtProvider provider;
    private final OrtSession.SessionOptions options;
    private final OrtSession session;
    private final SequencedMap<String, TensorInfo> inputs;
    private final List<OrtLoraAdapter> adapters = new ArrayList<>();

    private OnnxRunner(
            Path path,
            String output,
            OnnxPrecision precision,
            OrtProvider provider,
            OrtSession.SessionOptions options,
            OrtSession session)
            throws OrtException {
        this.path = path;
        this.output = output;
        this.precision = precision;
        this.provider = provider;
        this.options = options;
        this.session = session;
        this.inputs = new LinkedHashMap<>();
        session.getInputInfo().forEach((name, info) -> {
            if (info.getInfo() instanceof TensorInfo tensor) {
                inputs.put(name, tensor);
            }
        });
    }

    /**
     * Loads a model.
     *
     * @param output the name of the output that {@link #run} returns
     * @throws NoSuchFileException if there is no such file
     * @throws FormatException if ONNX Runtime cannot load it, or it has no such output
     * @throws UsageException if CUDA is asked for and does not work here
     */
    public static OnnxRunner open(Path path, String output, Device device) throws IOException {
        InputFile.named(path);
        boolean offered = OrtEnvironment.getAvailableProviders().contains(OrtProvider.CUDA);
        if (device == Device.CUDA && !offered) {
            throw new UsageException("--device cuda: this ONNX Runtime offers only " + offered()
                    + "; build with -Pgpu on a machine with an NVIDIA GPU, or take --device cpu");
        }
        if (device != Device.CPU && offered) {
            try {
                return load(path, output, OrtProvider.CUDA);
            } catch (OrtException e) {
                if (device == Device.CUDA) {
                    throw withoutCuda(path, e);
                }
            }
        }
        try {
            return load(path, output, OrtProvider.CPU);
        } catch (OrtException e) {
            throw new FormatException(path, "ONNX Runtime cannot load it: " + reason(e), e);
        }
    }

    private static RuntimeException withoutCuda(Path path, OrtException failure) {
        boolean cuda = failure.getCode() == OrtException.OrtErrorCode.ORT_EP_FAIL
                || reason(failure).contains("CUDA")
                || reason(failure).contains("cuda");
        return cuda
                ? new UsageException("--device cuda: ONNX Runtime cannot use CUDA here: " + reason(failure))
                : new FormatException(path, "ONNX Runtime cannot load it: " + reason(failure), failure);
    }

    @SuppressWarnings("MustBeClosedChecker") // the runner closes them
    private static OnnxRunner load(Path path, String output, OrtProvider provider) throws OrtException, IOException {
        OrtEnvironment environment = OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL);
        OrtSession.SessionOptions options = new OrtSession.SessionOptions();
        try {
            // what goes wrong reaches us as an exception: nothing more belongs on the terminal
            options.setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL);
            if (provider == OrtProvider.CUDA) {
                try (OrtCUDAProviderOptions cuda = new OrtCUDAProviderOptions(0)) {
                    // TF32 keeps 10 bits of each factor, too few to compare with float32
                    cuda.add("use_tf32", "0");
                    options.addCUDA(cuda);
                }
            }
            OrtSession session = environment.createSession(path.toString(), options);
            try {
                requireOutput(path, session, output);
                return new OnnxRunner(path, output, OnnxPrecision.of(path), provider, options, session);
            } catch (OrtException | IOException | RuntimeException e) {
                session.close();
                throw e;
            }
        } catch (OrtException | IOException | RuntimeException e) {
            options.close();
            throw e;
        }
    }

    private static void requireOutput(Path path, OrtSession session, String output) {
        Set<String> found = session.getOutputNames();
        if (!found.contains(output)) {
            throw new FormatException(
                    path,
                    "has the outputs " + String.join(", ", found) + ", expected one called " + output
                            + "; give the file exported from the model it is compared with");
        }
    }

    private static String offered() {
        return OrtEnvironment.getAvailableProviders().stream().map(Enum::name).collect(Collectors.joining(", "));
    }

    /** ONNX Runtime's message on one line, without its codes, its source files and the path that ours names already. */
    static String reason(OrtException failure) {
        return String.valueOf(failure.getMessage())
                .replaceAll("\\s+", " ")
                // an error met on the way holds the one that began it at its end
                .replaceFirst("^.*\\[ONNXRuntimeError] : \\d+ : \\w+ : ", "")
                .replaceFirst("^Error code - \\w+ - message: ", "")
                .replaceFirst("^Load model from .* failed: ?", "")
                .replaceFirst("^\\S+\\.(cc|h):\\d+ \\S+ ", "")
                .strip();
    }

    /** Where it really runs: {@code CPU} or {@code CUDA}. ONNX Runtime leaves on the CPU what CUDA has no kernel for. */
    public String provider() {
        return provider.name();
    }

    /** The names of the inputs the model takes. */
    public Set<String> inputNames() {
        return inputs.sequencedKeySet();
    }

    /**
     * Runs the model.
     *
     * @param given inputs by name; what the model does not take is left aside, missing token types are 0
     * @throws FormatException if the model takes an input that is not given, or ONNX Runtime cannot run it
     */
    public DoubleTensor run(Map<String, Tensor> given) {
        try (OrtSession.RunOptions plain = new OrtSession.RunOptions()) {
            return run(given, plain);
        } catch (OrtException e) {
            throw new FormatException(path, "ONNX Runtime cannot run it: " + reason(e), e);
        }
    }

    private DoubleTensor run(Map<String, Tensor> given, OrtSession.RunOptions run) throws OrtException {
        Map<String, OnnxTensor> feed = new LinkedHashMap<>();
        try {
            for (Map.Entry<String, Tensor> input : complete(given).entrySet()) {
                feed.put(input.getKey(), tensor(input.getKey(), input.getValue()));
            }
            try (OrtSession.Result result = session.run(feed, Set.of(output), run)) {
                return read(result);
            }
        } finally {
            feed.values().forEach(OnnxTensor::close);
        }
    }

    /**
     * The model with an adapter active, in the same session: others, and the model without one, can run between its runs.
     * The session keeps the adapter until it is closed.
     *
     * @param file an {@code .onnx_adapter} file
     * @throws NoSuchFileException if there is no such file
     * @throws FormatException if ONNX Runtime cannot read it; on running, also if the model has no input for it
     */
    public Runner adapted(Path file) throws IOException {
        OrtLoraAdapter adapter = load(file);
        String name = "ONNX + " + file.getFileName() + " (ONNX Runtime, " + provider() + ")";
        return new Runner(name, precision, inputs -> run(inputs, file, adapter));
    }

    private OrtLoraAdapter load(Path file) throws IOException {
        InputFile.named(file);
        try {
            OrtLoraAdapter adapter = OrtLoraAdapter.create(file.toString());
            adapters.add(adapter);
            return adapter;
        } catch (OrtException e) {
            throw new FormatException(file, "ONNX Runtime cannot read it as an adapter: " + reason(e), e);
        }
    }

    private DoubleTensor run(Map<String, Tensor> given, Path file, OrtLoraAdapter adapter) {
        try (OrtSession.RunOptions run = new OrtSession.RunOptions()) {
            run.addActiveLoraAdapter(adapter);
            return run(given, run);
        } catch (OrtException e) {
            throw new FormatException(
                    file,
                    "ONNX Runtime cannot run " + path + " with it: " + reason(e)
                            + "; export the model with --adapter-inputs for this adapter",
                    e);
        }
    }

    private Map<String, Tensor> complete(Map<String, Tensor> given) {
        Map<String, Tensor> complete = new LinkedHashMap<>(given);
        Tensor ids = given.get(IDS);
        if (ids != null) {
            Shape shape = ids.shape();
            complete.putIfAbsent(TOKEN_TYPES, new LongTensor(shape, new long[(int) shape.elements()]));
        }
        Set<String> missing = new TreeSet<>(inputs.keySet());
        missing.removeAll(complete.keySet());
        if (!missing.isEmpty()) {
            throw new FormatException(
                    path,
                    "takes inputs that the comparison does not give: " + String.join(", ", missing) + "; given are "
                            + String.join(", ", new TreeSet<>(given.keySet())));
        }
        complete.keySet().retainAll(inputs.keySet());
        return complete;
    }

    private OnnxTensor tensor(String name, Tensor input) throws OrtException {
        OrtEnvironment environment = OrtEnvironment.getEnvironment();
        long[] shape = input.shape().toArray();
        TensorInfo wanted = inputs.get(name);
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
        return new FormatException(path, name, "takes " + wanted.type + " values, the comparison gives " + given);
    }

    private DoubleTensor read(OrtSession.Result result) throws OrtException {
        if (!(result.get(0) instanceof OnnxTensor tensor)) {
            throw new FormatException(path, output, "is not a tensor");
        }
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
                        path, output, "holds " + tensor.getInfo().type + " values, expected floating-point numbers");
        }
        return new DoubleTensor(shape, values);
    }

    @Override
    public void close() {
        adapters.forEach(OrtLoraAdapter::close);
        try {
            session.close();
        } catch (OrtException e) {
            throw new IllegalStateException(path + ": ONNX Runtime cannot close its session", e);
        } finally {
            options.close();
        }
    }

    /**
     * The model as a decoder, at the start of a text. The session must stay open meanwhile.
     *
     * @param cached whether it keeps the keys and values of earlier tokens; otherwise each token computes all before it
     * @throws UsageException if it is to keep them and was exported without
     */
    public Decoder decoder(boolean cached) throws IOException {
        return new OnnxDecoder(this, Optional.empty(), cached);
    }

    /** The same with an adapter active, an {@code .onnx_adapter} file. */
    public Decoder decoder(Path adapter, boolean cached) throws IOException {
        return new OnnxDecoder(this, Optional.of(load(adapter)), cached);
    }

    Path path() {
        return path;
    }

    OrtSession session() {
        return session;
    }

    SequencedMap<String, TensorInfo> inputs() {
        return inputs;
    }

    /** What a report calls this model. */
    public Runner runner() {
        return new Runner("ONNX" + suffix() + " (ONNX Runtime, " + provider() + ")", precision, this::run);
    }

    private String suffix() {
        return precision == OnnxPrecision.FP16 ? ", fp16" : "";
    }
}
