package dev.adapt.verify;

import ai.onnxruntime.OnnxJavaType;
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
import dev.adapt.formats.onnx.OnnxAdapter;
import dev.adapt.formats.onnx.OnnxPrecision;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Tensor;
import java.io.IOException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.stream.Collectors;

/** An ONNX model in ONNX Runtime. */
public final class OnnxRunner implements AutoCloseable {
    /** What exporters of sentence embeddings call an output, and its name in transformers. */
    private static final Map<String, String> OTHER_NAMES = Map.of("token_embeddings", "last_hidden_state");

    private final Path path;
    private final String output;
    private final OnnxPrecision precision;
    private final OrtProvider provider;
    private final OrtSession.SessionOptions options;
    private final OrtSession session;
    private final SequencedMap<String, TensorInfo> inputs;
    private final SequencedMap<String, String> outputs = new LinkedHashMap<>();
    private final Map<String, String> incomparable = new LinkedHashMap<>();
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
        session.getOutputInfo().forEach((name, info) -> {
            if (!(info.getInfo() instanceof TensorInfo tensor)) {
                incomparable.put(name, "no tensor");
            } else if (isFloat(tensor.type)) {
                outputs.put(OTHER_NAMES.getOrDefault(name, name), name);
            } else {
                incomparable.put(name, tensor.type + " values");
            }
        });
    }

    private static boolean isFloat(OnnxJavaType type) {
        return switch (type) {
            case FLOAT, DOUBLE, FLOAT16, BFLOAT16 -> true;
            default -> false;
        };
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
        // before native code reads the file
        OnnxPrecision precision = OnnxPrecision.of(path);
        boolean offered = OrtEnvironment.getAvailableProviders().contains(OrtProvider.CUDA);
        if (device == Device.CUDA && !offered) {
            throw new UsageException(
                    "device cuda",
                    "this ONNX Runtime offers only " + offered()
                            + "; build with -Pgpu on a machine with an NVIDIA GPU, or take --device cpu");
        }
        if (device != Device.CPU && offered) {
            try {
                return load(path, output, precision, OrtProvider.CUDA);
            } catch (OrtException e) {
                if (device == Device.CUDA) {
                    throw withoutCuda(path, e);
                }
            }
        }
        try {
            return load(path, output, precision, OrtProvider.CPU);
        } catch (OrtException e) {
            throw new FormatException(path, "ONNX Runtime cannot load it: " + reason(e), e);
        }
    }

    private static RuntimeException withoutCuda(Path path, OrtException failure) {
        boolean cuda = failure.getCode() == OrtException.OrtErrorCode.ORT_EP_FAIL
                || reason(failure).contains("CUDA")
                || reason(failure).contains("cuda");
        return cuda
                ? new UsageException("device cuda", "ONNX Runtime cannot use CUDA here: " + reason(failure))
                : new FormatException(path, "ONNX Runtime cannot load it: " + reason(failure), failure);
    }

    @SuppressWarnings("MustBeClosedChecker") // the runner closes them
    private static OnnxRunner load(Path path, String output, OnnxPrecision precision, OrtProvider provider)
            throws OrtException {
        OrtEnvironment environment =
                DeepStack.call(() -> OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL));
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
                return new OnnxRunner(path, output, precision, provider, options, session);
            } catch (OrtException | RuntimeException e) {
                session.close();
                throw e;
            }
        } catch (OrtException | RuntimeException e) {
            options.close();
            throw e;
        }
    }

    private static void requireOutput(Path path, OrtSession session, String output) {
        Set<String> found = session.getOutputNames();
        if (found.stream()
                .noneMatch(name -> OTHER_NAMES.getOrDefault(name, name).equals(output))) {
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

    /** The names of the outputs that hold floating-point numbers, as transformers calls them. */
    public Set<String> outputNames() {
        return outputs.sequencedKeySet();
    }

    /**
     * Runs the model.
     *
     * @param given inputs by name; what the model does not take is left aside, missing token types are 0
     * @return the output that the model was opened for
     * @throws FormatException if the model takes an input that is not given, or ONNX Runtime cannot run it
     */
    public DoubleTensor run(Map<String, Tensor> given) {
        return Objects.requireNonNull(outputs(given, Set.of(output)).get(output));
    }

    /**
     * Runs the model. One that takes the keys and values of earlier tokens runs twice: on all tokens but the last of each
     * sequence without earlier ones, and on the last with those of the others.
     *
     * @param given inputs by name, as {@link #run} takes them
     * @param wanted some of {@link #outputNames}
     * @return these outputs, for all tokens
     */
    public Map<String, DoubleTensor> outputs(Map<String, Tensor> given, Set<String> wanted) {
        try (OrtSession.RunOptions plain = new OrtSession.RunOptions()) {
            return new OnnxRun(this, plain).outputs(given, wanted);
        } catch (OrtException e) {
            throw new FormatException(path, "ONNX Runtime cannot run it: " + reason(e), e);
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
        return new Runner(
                name,
                precision,
                List.copyOf(outputs.keySet()),
                incomparable,
                (inputs, wanted) -> outputs(inputs, wanted, file, adapter));
    }

    private OrtLoraAdapter load(Path file) throws IOException {
        try {
            // before native code reads the file
            OnnxAdapter.require(file);
            OrtLoraAdapter adapter = OrtLoraAdapter.create(file.toString());
            adapters.add(adapter);
            return adapter;
        } catch (OrtException e) {
            throw new FormatException(file, "ONNX Runtime cannot read it as an adapter: " + reason(e), e);
        }
    }

    private Map<String, DoubleTensor> outputs(
            Map<String, Tensor> given, Set<String> wanted, Path file, OrtLoraAdapter adapter) {
        try (OrtSession.RunOptions run = new OrtSession.RunOptions()) {
            run.addActiveLoraAdapter(adapter);
            return new OnnxRun(this, run).outputs(given, wanted);
        } catch (OrtException e) {
            throw new FormatException(
                    file,
                    "ONNX Runtime cannot run " + path + " with it: " + reason(e)
                            + "; export the model with --adapter-inputs for this adapter",
                    e);
        }
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

    /** The file's name of an output. */
    String fileName(String output) {
        return outputs.getOrDefault(output, output);
    }

    /** The model as a form to compare. */
    public Runner runner() {
        return new Runner(
                "ONNX" + suffix() + " (ONNX Runtime, " + provider() + ")",
                precision,
                List.copyOf(outputs.keySet()),
                incomparable,
                this::outputs);
    }

    private String suffix() {
        return precision == OnnxPrecision.FP16 ? ", fp16" : "";
    }
}
