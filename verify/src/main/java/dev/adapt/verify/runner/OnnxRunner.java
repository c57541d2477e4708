package dev.adapt.verify.runner;

import ai.onnxruntime.NodeInfo;
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
import dev.adapt.formats.graph.CacheSpec;
import dev.adapt.formats.onnx.OnnxContents;
import dev.adapt.formats.onnx.OnnxPrecision;
import dev.adapt.formats.onnx.OnnxProbe;
import dev.adapt.formats.onnx.export.OnnxAdapter;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Tensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
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

    /** Where ONNX Runtime looks for external data of a model that is no file. */
    private static final String EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path";

    private static final String NO_PACKING = "session.disable_prepacking";

    private final Path path;
    private final String output;
    private final Precision precision;
    private final OrtProvider provider;
    private final OrtSession.SessionOptions options;
    private final OrtSession session;

    /** Whether the first run must still tell where its operators ran. */
    private boolean profiled;

    private final SequencedMap<String, TensorInfo> inputs;
    private final SequencedMap<String, String> outputs = new LinkedHashMap<>();
    private final Map<String, String> incomparable = new LinkedHashMap<>();
    private final List<OrtLoraAdapter> adapters = new ArrayList<>();

    private OnnxRunner(
            Path path,
            String output,
            Precision precision,
            OrtProvider provider,
            OrtSession.SessionOptions options,
            OrtSession session,
            Map<String, String> otherNames,
            boolean profiled)
            throws OrtException {
        this.path = path;
        this.precision = precision;
        this.provider = provider;
        this.options = options;
        this.session = session;
        this.profiled = profiled;
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
                outputs.put(otherNames.getOrDefault(name, name), name);
            } else {
                incomparable.put(name, tensor.type + " values");
            }
        });
        this.output =
                output.isEmpty() && !outputs.isEmpty() ? outputs.firstEntry().getKey() : output;
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
        return open(path, new MainOutput(output, List.of()), device);
    }

    /** Loads a model of which nothing is known: {@link #run} returns the first output that holds floating-point numbers. */
    public static OnnxRunner open(Path path, Device device) throws IOException {
        return open(path, Optional.empty(), Purpose.RUN, device);
    }

    /**
     * What the model's own output is called, and its axes, so that it is known by another name too.
     *
     * @param axes for each axis its name, or its size where that is the same in every run; empty where they are not known
     */
    public record MainOutput(String name, List<String> axes) {
        public MainOutput {
            axes = List.copyOf(axes);
        }

        /** Whether an output of this shape can be it; -1 is any size. */
        private boolean fits(long[] shape) {
            if (axes.isEmpty() || shape.length != axes.size()) {
                return false;
            }
            for (int axis = 0; axis < shape.length; axis++) {
                String own = axes.get(axis);
                boolean number = own.chars().allMatch(Character::isDigit);
                if (number && shape[axis] >= 0 && shape[axis] != Long.parseLong(own)) {
                    return false;
                }
            }
            return true;
        }
    }

    /**
     * Loads a model whose main output may have any name: one of the same shape stands for it then.
     *
     * @param main the output that {@link #run} returns
     * @throws NoSuchFileException if there is no such file
     * @throws FormatException if ONNX Runtime cannot load it, or it has no such output
     * @throws UsageException if CUDA is asked for and does not work here
     */
    public static OnnxRunner open(Path path, MainOutput main, Device device) throws IOException {
        return open(path, Optional.of(main), Purpose.RUN, device);
    }

    /** What a session is for. */
    private enum Purpose {
        RUN,
        /** The graph as it stands, its weights neither widened nor packed: they stay in their mapped file. */
        LOOK
    }

    /**
     * Loads a model to learn what it takes and gives, as the other two do, without the time and memory that its weights take
     * in a session that runs fast.
     *
     * @param main the output that {@link #run} returns; the first that holds floating-point numbers where it is empty
     */
    public static OnnxRunner look(Path path, Optional<MainOutput> main, Device device) throws IOException {
        return open(path, main, Purpose.LOOK, device);
    }

    private static OnnxRunner open(Path path, Optional<MainOutput> main, Purpose purpose, Device device)
            throws IOException {
        // before native code reads the file
        Precision precision = Precision.of(OnnxPrecision.of(path))
                .or(OnnxContents.computesIntegers(path) ? Precision.INT8 : Precision.FLOAT32);
        boolean offered = OrtEnvironment.getAvailableProviders().contains(OrtProvider.CUDA);
        if (device == Device.CUDA && !offered) {
            throw new UsageException(
                    "device cuda",
                    "this ONNX Runtime offers only " + offered()
                            + "; build with -Pgpu on a machine with an NVIDIA GPU, or take --device cpu");
        }
        // CUDA that was asked for must not be the CPU in part
        Optional<Path> profile = device == Device.CUDA && offered
                ? Optional.of(Files.createTempDirectory("adapt-onnx").resolve("profile"))
                : Optional.empty();
        Model model = new Model(path, Optional.empty(), main, purpose, precision, profile);
        if (device != Device.CPU && offered) {
            try {
                return load(model, OrtProvider.CUDA);
            } catch (OrtException e) {
                if (device == Device.CUDA) {
                    throw withoutCuda(path, e);
                }
            }
        }
        try {
            return load(model, OrtProvider.CPU);
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

    /**
     * A model to load.
     *
     * @param changed the model's bytes, where they are not the file's
     * @param main the output that must be there, if one must
     * @param purpose what the session is for
     * @param profile where the profiler writes, if it is to tell where operators run
     */
    private record Model(
            Path path,
            Optional<byte[]> changed,
            Optional<MainOutput> main,
            Purpose purpose,
            Precision precision,
            Optional<Path> profile) {}

    /**
     * Loads a model with its intermediate values as outputs too.
     *
     * @return empty if it is too large for that, or ONNX Runtime cannot load it so
     */
    public static Optional<OnnxRunner> probing(Path path, OnnxProbe probe) {
        try {
            return Optional.of(load(
                    new Model(
                            path,
                            Optional.of(probe.bytes()),
                            Optional.empty(),
                            Purpose.RUN,
                            Precision.FLOAT32,
                            Optional.empty()),
                    OrtProvider.CPU));
        } catch (OrtException e) {
            return Optional.empty();
        }
    }

    @SuppressWarnings("MustBeClosedChecker") // the runner closes them
    private static OnnxRunner load(Model model, OrtProvider provider) throws OrtException {
        OrtEnvironment environment = environment();
        OrtSession.SessionOptions options = new OrtSession.SessionOptions();
        try {
            // what goes wrong reaches us as an exception: nothing more belongs on the terminal
            options.setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL);
            if (model.profile().isPresent()) {
                options.enableProfiling(model.profile().get().toString());
            }
            if (provider == OrtProvider.CUDA) {
                try (OrtCUDAProviderOptions cuda = new OrtCUDAProviderOptions(0)) {
                    // TF32 keeps 10 bits of each factor, too few to compare with float32
                    cuda.add("use_tf32", "0");
                    options.addCUDA(cuda);
                }
            }
            if (model.purpose() == Purpose.LOOK) {
                // constants would be widened and packed for the kernels, twice 4 bytes for each parameter
                options.setOptimizationLevel(OrtSession.SessionOptions.OptLevel.NO_OPT);
                options.addConfigEntry(NO_PACKING, "1");
            }
            OrtSession session;
            if (model.changed().isPresent()) {
                // the optimizer would fuse the values away that are asked for
                options.setOptimizationLevel(OrtSession.SessionOptions.OptLevel.NO_OPT);
                options.addConfigEntry(
                        EXTERNAL_FOLDER,
                        model.path().toAbsolutePath().resolveSibling("").toString());
                session = environment.createSession(model.changed().get(), options);
            } else {
                session = environment.createSession(model.path().toString(), options);
            }
            try {
                Map<String, String> otherNames = new HashMap<>(OTHER_NAMES);
                if (model.main().isPresent()) {
                    otherNames.putAll(
                            mainOutput(model.path(), session, model.main().get()));
                }
                String main = model.main().map(MainOutput::name).orElse("");
                return new OnnxRunner(
                        model.path(),
                        main,
                        model.precision(),
                        provider,
                        options,
                        session,
                        otherNames,
                        model.profile().isPresent());
            } catch (OrtException | RuntimeException e) {
                session.close();
                throw e;
            }
        } catch (OrtException | RuntimeException e) {
            options.close();
            throw e;
        }
    }

    /** The name of the main output in the file, where it is another. */
    private static Map<String, String> mainOutput(Path path, OrtSession session, MainOutput main) throws OrtException {
        Set<String> found = session.getOutputNames();
        if (found.stream().anyMatch(name -> OTHER_NAMES.getOrDefault(name, name).equals(main.name()))) {
            return Map.of();
        }
        for (Map.Entry<String, NodeInfo> output : session.getOutputInfo().entrySet()) {
            if (output.getValue().getInfo() instanceof TensorInfo tensor
                    && isFloat(tensor.type)
                    && main.fits(tensor.getShape())) {
                return Map.of(output.getKey(), main.name());
            }
        }
        throw new FormatException(
                path,
                "has the outputs " + String.join(", ", found) + ", expected one called " + main.name()
                        + "; give the file exported from the model it is compared with");
    }

    private static OrtEnvironment environment() {
        return DeepStack.call(() -> OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL));
    }

    /** The version of ONNX Runtime. */
    public static String version() {
        return environment().getVersion();
    }

    /** Where it can run: {@code CPU}, {@code CUDA}. */
    public static List<String> providers() {
        environment();
        return OrtEnvironment.getAvailableProviders().stream().map(Enum::name).toList();
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
            Map<String, DoubleTensor> outputs = new OnnxRun(this, plain).outputs(given, wanted);
            requirePlacement();
            return outputs;
        } catch (OrtException e) {
            throw new FormatException(path, "ONNX Runtime cannot run it: " + reason(e), e);
        }
    }

    /** After the first run on a device that was asked for: refuses a graph of which operators ran on the CPU. */
    private void requirePlacement() throws OrtException {
        if (!profiled) {
            return;
        }
        profiled = false;
        Path profile = Path.of(session.endProfiling());
        try {
            Optional<String> elsewhere = Placement.read(profile).onCpu();
            if (elsewhere.isPresent()) {
                throw new UsageException(
                        "device cuda",
                        "ONNX Runtime has no CUDA kernel for all of " + path + " and ran on the CPU: " + elsewhere.get()
                                + "; take device auto, or another opset");
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } finally {
            delete(profile);
        }
    }

    private static void delete(Path profile) {
        try {
            Files.deleteIfExists(profile);
            Files.deleteIfExists(profile.toAbsolutePath().getParent());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The outputs of one run, also of a model that takes keys and values of earlier tokens: it gets none. */
    public Map<String, DoubleTensor> whole(Map<String, Tensor> given, Set<String> wanted) {
        try (OrtSession.RunOptions plain = new OrtSession.RunOptions()) {
            return new OnnxRun(this, plain).whole(given, wanted);
        } catch (OrtException e) {
            throw new FormatException(path, "ONNX Runtime cannot run it: " + reason(e), e);
        }
    }

    /** Whether it takes keys and values of earlier tokens. */
    public boolean isCached() {
        return inputs.keySet().stream().anyMatch(name -> name.startsWith(CacheSpec.PAST));
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
            if (profiled) {
                delete(Path.of(session.endProfiling()));
            }
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

    /** Its file. */
    public Path path() {
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
        String numbers = switch (precision) {
            case FLOAT32 -> "";
            case FLOAT16 -> ", fp16";
            case BFLOAT16 -> ", bf16";
            case INT8 -> ", int8";
        };
        String name = outputs.getOrDefault(output, output);
        boolean known = name.equals(output) || OTHER_NAMES.containsKey(name);
        return known ? numbers : numbers + ", its " + name + " as " + output;
    }
}
