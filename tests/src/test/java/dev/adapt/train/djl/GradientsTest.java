package dev.adapt.train.djl;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.Device;
import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.training.GradientCollector;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Methods;
import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.lors.LorsLayout;
import dev.adapt.formats.lors.StackedModel;
import dev.adapt.formats.lors.Stacks;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.lowrank.CondLora;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.method.random.Rounding;
import dev.adapt.formats.method.seeded.Vera;
import dev.adapt.formats.method.transform.Hra;
import dev.adapt.formats.method.transform.Miss;
import dev.adapt.formats.method.transform.Road;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.model.PlainModel;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.tests.StackedExperts;
import dev.adapt.tests.TinyModel;
import dev.adapt.verify.input.Inputs;
import java.io.IOException;
import java.lang.reflect.Proxy;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** DJL's gradients of whole models against finite differences in float64. It lies in this package to reach them. */
@DisplayName("The gradient of every trained tensor is what finite differences of the float64 reference give")
class GradientsTest {
    private static final double STEP = 1e-4;
    private static final double TOLERANCE = 1e-4;
    private static final int DIRECTIONS = 2;
    private static final int FEWEST_TOKENS = 5;

    @TempDir
    private Path folder;

    private static final String STACKS = "LORS";

    private static final Set<TinyModel> FOR_ALL_METHODS = Set.of(TinyModel.BERT, TinyModel.GPT2, TinyModel.MIXTRAL);

    private static final Set<String> FOR_ALL_MODELS = Set.of("LoRA", "DoRA", "VeRA", "CondLoRA", STACKS);

    private static final Map<String, AdapterMethod> METHODS = new LinkedHashMap<>();

    static {
        METHODS.put("LoRA", new Lora(3, 6, 0));
        METHODS.put("DoRA", new Lora(3, 6, false, true, 0, Map.of(), Map.of()));
        METHODS.put("VeRA", new Vera(5, 0.5, 42, 0, false, Rounding.FMA));
        METHODS.put("CondLoRA", new CondLora(3, 6, 0));
        sample("loha", "{\"r\": 2}");
        sample("ia3", "{}");
        sample("oft", "{\"oft_block_size\": 2}");
        sample("gralora", "{\"r\": 4, \"gralora_k\": 2}");
        sample("lora-xs", "{\"r\": 3}");
        sample("randlora", "{\"r\": 2, \"randlora_alpha\": 2}");
        sample("tinylora", "{\"r\": 2, \"u\": 5}");
        sample("vblora", "{\"r\": 2, \"num_vectors\": 7, \"vector_length\": 2}");
        sample("unilora", "{\"r\": 2, \"theta_d_length\": 40}");
        sample("lokr", "{\"r\": 2, \"decompose_both\": true}");
        sample("c3a", "{\"block_size\": 2}");
        sample("hira", "{\"r\": 3}");
        sample("glora", "{\"r\": 3, \"config_D_E\": \"vector\"}");
        sample("beft", "{}");
        sample("delora", "{\"r\": 3}");
        sample("deft", "{\"r\": 3, \"decomposition_method\": \"qr\"}");
        sample("peanut", "{\"r\": 3, \"depth\": 1, \"act_fn\": \"gelu\"}");
        sample("fourierft", "{\"n_frequency\": 9, \"scaling\": 30}");
        sample("waveft", "{\"n_frequency\": 9, \"wavelet_family\": \"db2\", \"scaling\": 2}");
        sample("shira", "{\"r\": 1}");
        sample("boft", "{\"boft_block_size\": 2, \"boft_n_butterfly_factor\": 2}");
        sample("hra", "{\"r\": 4}");
        METHODS.put("hra, orthogonal", new Hra(3, true));
        sample("miss", "{\"r\": 3}");
        METHODS.put("miss, mini", new Miss(3, Miss.Variant.MINI, 2, 0));
        METHODS.put("miss, bat", new Miss(2, Miss.Variant.BAT, 1, 0));
        for (Road.Variant variant : Road.Variant.values()) {
            METHODS.put(variant.toString(), new Road(variant, 2));
        }
    }

    private static void sample(String name, String settings) {
        try {
            Map<String, JsonNode> fields = new LinkedHashMap<>();
            new JsonMapper()
                    .readTree(settings)
                    .properties()
                    .forEach(field -> fields.put(field.getKey(), field.getValue()));
            METHODS.put(name, Methods.named(name).orElseThrow().fresh(Path.of("settings"), fields));
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException(settings, e);
        }
    }

    /** Every method where layers are stored either way and where there are experts; a few methods in every model. */
    static Stream<Arguments> cases() {
        return Stream.of(TinyModel.values())
                .flatMap(tiny -> Stream.concat(METHODS.keySet().stream(), Stream.of(STACKS))
                        .filter(method -> FOR_ALL_METHODS.contains(tiny) || FOR_ALL_MODELS.contains(method))
                        .map(method -> Arguments.of(tiny, method)));
    }

    @BeforeAll
    static void head() {
        System.out.printf("%-24s %-8s %8s %26s%n", "", "", "tensors", "largest relative error");
    }

    @Test
    @DisplayName("every method that trains linear layers is among them")
    void allMethods() {
        Set<String> sampled =
                METHODS.values().stream().map(AdapterMethod::peftType).collect(Collectors.toSet());
        // these train no linear layer
        sampled.addAll(Set.of("LN_TUNING", "TRAINABLE_TOKENS"));
        for (MethodType type : Methods.ALL) {
            if (!sampled.contains(type.peftType())) {
                assertThrows(
                        FormatException.class,
                        () -> type.fresh(Path.of("settings"), Map.of()),
                        type.peftType() + " is trained");
            }
        }
    }

    @ParameterizedTest(name = "{0}, {1}")
    @MethodSource("cases")
    void gradients(TinyModel tiny, String method) throws IOException {
        try (Checkpoint base = Checkpoint.open(tiny.write(folder, 4))) {
            Model model = method.equals(STACKS) ? stacked(base) : Model.of(base, adapter(base, METHODS.get(method)));
            requireGradients(tiny, method, model);
        }
    }

    private static void requireGradients(TinyModel tiny, String method, Model model) {
        Map<String, Tensor> inputs = inputs(model);
        FiniteDifferences reference = new FiniteDifferences(model, inputs);
        double largest = 0;
        for (Map.Entry<String, double[]> gradient :
                gradients(model, inputs, reference.weights).entrySet()) {
            if (isWithoutEffect(gradient.getKey())) {
                continue;
            }
            double error = reference.error(gradient.getKey(), gradient.getValue());
            assertTrue(error < TOLERANCE, () -> gradient.getKey() + ": relative error " + error);
            largest = Math.max(largest, error);
        }
        System.out.printf(
                "%-24s %-8s %8d %26.1e%n", tiny, method, model.trainable().size(), largest);
    }

    @ParameterizedTest(name = "{0}")
    @EnumSource(names = {"MIXTRAL", "GPT_OSS", "DEEPSEEK"})
    @DisplayName("LoRA on stacks of experts, as a module of the graph or as the layers of each expert")
    void stacks(TinyModel tiny) throws IOException {
        try (Checkpoint base = Checkpoint.open(tiny.write(folder, 4))) {
            Architecture architecture = Model.of(base).architecture();
            BoundAdapter adapter = adapter(base, METHODS.get("LoRA"), architecture.expertStacks());
            assertTrue(adapter.targets().stream().allMatch(Target::isParameter));
            requireGradients(tiny, "stacks", Model.of(base, adapter));
        }
    }

    @Test
    @DisplayName("LoRA on stacks of experts that a checkpoint of transformers 5 holds and the graph reads in parts")
    void stackedCheckpoint() throws IOException {
        try (Checkpoint base =
                Checkpoint.open(StackedExperts.write(TinyModel.MIXTRAL.write(folder.resolve("base"), 4)))) {
            Architecture architecture = Model.of(base).architecture();
            BoundAdapter adapter = adapter(base, METHODS.get("LoRA"), architecture.expertStacks());
            assertEquals(16, adapter.targets().size());
            requireGradients(TinyModel.MIXTRAL, "stacked", Model.of(base, adapter));
        }
    }

    /** The smallest inputs of some tokens: a token alone attends to itself, whatever queries and keys are. */
    private static Map<String, Tensor> inputs(Model model) {
        return Inputs.random(model.config(), 12, 5, false).batches().stream()
                .filter(batch -> batch.values().stream()
                        .noneMatch(input ->
                                input.shape().rank() == 2 && input.shape().dim(1) < FEWEST_TOKENS))
                .min(Comparator.comparingLong(batch -> batch.values().stream()
                        .mapToLong(input -> input.shape().elements())
                        .sum()))
                .orElseThrow();
    }

    /** What is added to all keys moves each query's scores alike, and softmax takes it away. */
    private static boolean isWithoutEffect(String key) {
        return (key.contains(".key.") && (key.endsWith("beft_bias") || key.matches(".*glora_[CDE]\\..*")))
                || key.matches(".*\\.(key|k|k_lin|k_proj|pos_key_proj)\\.bias");
    }

    /** An adapter on all linear layers; random values, since a gradient is 0 where a factor starts at 0. */
    private static BoundAdapter adapter(Checkpoint base, AdapterMethod method) throws IOException {
        return adapter(base, method, Model.of(base).architecture().linearModules());
    }

    private static BoundAdapter adapter(Checkpoint base, AdapterMethod method, List<String> names) throws IOException {
        Binding binding = new Binding(base);
        List<Target> targets = binding.targets(names, Model.of(base).architecture()).stream()
                .filter(target -> method.misfit(target).isEmpty())
                .toList();
        Random random = new Random(6);
        BoundAdapter fresh =
                BoundAdapter.fresh(method, targets, binding::weight, Map.of(), Optional.empty(), Map.of(), random);
        Map<String, FloatTensor> trained = new LinkedHashMap<>();
        for (String key : fresh.trainedKeys()) {
            float mean = key.endsWith("magnitude_vector") ? 1 : 0;
            trained.put(key, random(fresh.tensors().get(key).shape(), mean, random));
        }
        return fresh.with(trained, Map.of());
    }

    private static FloatTensor random(Shape shape, float mean, Random random) {
        float[] values = new float[Math.toIntExact(shape.elements())];
        for (int i = 0; i < values.length; i++) {
            values[i] = mean + 0.3f * (float) random.nextGaussian();
        }
        return new FloatTensor(shape, values);
    }

    /** The base with all linear layers that share weights, of which the tensors have random values. */
    private static Model stacked(Checkpoint base) throws IOException {
        ModelConfig config = ModelConfig.of(base);
        List<String> names = Architectures.of(config).linearModules();
        Random random = new Random(6);
        LorsLayout layout = new LorsLayout(List.of(2), List.of(2));
        Stacks fresh = StackedModel.fromScratch(config, layout, names, random).stacks();
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        fresh.tensors().forEach((key, tensor) -> tensors.put(key, random(tensor.shape(), 0, random)));
        Stacks stacks = Stacks.of(layout, fresh.targets(), tensors);
        return StackedModel.of(config, stacks, names, PlainModel.tensors(base, stacks.targets()))
                .withoutUnread()
                .model();
    }

    private static Map<String, double[]> gradients(Model model, Map<String, Tensor> inputs, FloatTensor weights) {
        Map<String, double[]> gradients = new LinkedHashMap<>();
        try (LoadedModel loaded = new LoadedModel(model, Device.cpu());
                NDManager step = loaded.newStep()) {
            Map<String, NDArray> trained = loaded.trainable();
            try (GradientCollector collector = Engine.getEngine("PyTorch").newGradientCollector()) {
                NDArray output = loaded.forward(step, inputs);
                collector.backward(output.mul(new NDArrayOps(step, Optional.empty()).constant(weights))
                        .sum());
            }
            trained.forEach((name, array) -> gradients.put(
                    name, DoubleTensor.of(LoadedModel.read(array.getGradient())).values()));
        }
        return gradients;
    }

    /** A sum of a model's outputs, weighted at random, as a function of its trained tensors. */
    private static final class FiniteDifferences {
        private final Model model;
        private final Map<String, DoubleTensor> inputs = new HashMap<>();
        private final Map<String, DoubleTensor> leaves = new HashMap<>();
        private final List<DoubleTensor> constants = new ArrayList<>();
        private final Random random = new Random(7);
        private final FloatTensor weights;

        FiniteDifferences(Model model, Map<String, Tensor> inputs) {
            this.model = model;
            inputs.forEach((name, input) -> this.inputs.put(name, DoubleTensor.of(input)));
            Shape shape = run().shape();
            float[] values = new float[Math.toIntExact(shape.elements())];
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) random.nextGaussian();
            }
            this.weights = new FloatTensor(shape, values);
        }

        private DoubleTensor run() {
            return model.forward(
                    withConstants(),
                    name -> leaves.computeIfAbsent(name, leaf -> DoubleTensor.of(model.leaf(leaf))),
                    inputs);
        }

        /**
         * The reference, in which what the gradient takes for a constant stays as it was in the first run: also the side of
         * its kink that each ReLU is on, across which there is no derivative to compare with.
         */
        @SuppressWarnings("unchecked")
        private Ops<DoubleTensor> withConstants() {
            ReferenceOps reference = new ReferenceOps();
            int[] next = {0};
            return (Ops<DoubleTensor>) Proxy.newProxyInstance(
                    Ops.class.getClassLoader(), new Class<?>[] {Ops.class}, (proxy, method, arguments) -> {
                        boolean kinked = method.getName().equals("activation") && arguments[1] == Activation.RELU;
                        if (!kinked && !method.getName().equals("stopGradient")) {
                            return method.invoke(reference, arguments);
                        }
                        DoubleTensor x = (DoubleTensor) arguments[0];
                        if (next[0] == constants.size()) {
                            constants.add(kinked ? sides(x) : x);
                        }
                        DoubleTensor constant = constants.get(next[0]++);
                        return kinked ? reference.mul(x, constant) : constant;
                    });
        }

        /** 1 where a number is above 0, else 0. */
        private static DoubleTensor sides(DoubleTensor x) {
            return new DoubleTensor(
                    x.shape(),
                    Arrays.stream(x.values()).map(value -> value > 0 ? 1 : 0).toArray());
        }

        /** How far a gradient is from the differences along itself and along random directions, by its own length. */
        double error(String name, double[] gradient) {
            double length = length(gradient);
            // an expert that no token passes has no gradient, and must have no slope in any direction either
            double largest = length == 0 ? 0 : Math.abs(slope(name, scaled(gradient, 1 / length)) - length);
            for (int i = 0; i < DIRECTIONS; i++) {
                double[] direction = random.doubles(gradient.length, -1, 1).toArray();
                double[] unit = scaled(direction, 1 / length(direction));
                double expected = 0;
                for (int j = 0; j < unit.length; j++) {
                    expected += unit[j] * gradient[j];
                }
                largest = Math.max(largest, Math.abs(slope(name, unit) - expected));
            }
            return length == 0 ? largest : largest / length;
        }

        private double slope(String name, double[] direction) {
            DoubleTensor before = DoubleTensor.of(model.leaf(name));
            double[] at = {2, 1, -1, -2};
            double[] values = new double[at.length];
            for (int i = 0; i < at.length; i++) {
                double[] moved = before.values().clone();
                for (int j = 0; j < moved.length; j++) {
                    moved[j] += at[i] * STEP * direction[j];
                }
                leaves.put(name, new DoubleTensor(before.shape(), moved));
                values[i] = sum(run());
            }
            leaves.put(name, before);
            // the central difference of fourth order
            return (8 * (values[1] - values[2]) - (values[0] - values[3])) / (12 * STEP);
        }

        private double sum(DoubleTensor output) {
            double sum = 0;
            for (int i = 0; i < output.values().length; i++) {
                sum += output.values()[i] * weights.values()[i];
            }
            return sum;
        }

        private static double length(double[] vector) {
            double squares = 0;
            for (double value : vector) {
                squares += value * value;
            }
            return Math.sqrt(squares);
        }

        private static double[] scaled(double[] vector, double factor) {
            double[] scaled = vector.clone();
            for (int i = 0; i < scaled.length; i++) {
                scaled[i] *= factor;
            }
            return scaled;
        }
    }
}
