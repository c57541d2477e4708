package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.generate.Decoder;
import dev.adapt.formats.generate.Generation;
import dev.adapt.formats.generate.Sampler;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.OnnxPrecision;
import dev.adapt.formats.onnx.export.OnnxExport;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.merge.Merger;
import dev.adapt.train.device.Devices;
import dev.adapt.train.djl.DjlDecoder;
import dev.adapt.verify.runner.Device;
import dev.adapt.verify.runner.OnnxRunner;
import dev.adapt.verify.runner.ReferenceDecoder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The decoders among the reference cases: the logits that transformers and PEFT gave of the base, of the base with the adapter
 * beside it, and of the two merged (here by our own merge), on the three engines and exported with past keys and values.
 * Differences are relative to the root mean square of the expected logits.
 */
@DisplayName("Logits of the decoders among the reference cases")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class DecoderCasesTest {
    /** What float32 itself leaves. */
    private static final double TOLERANCE = 5e-5;

    /** The tokens before the cached steps. */
    private static final int PREFILL = 7;

    /** The tokens that are generated with and without past. */
    private static final int GENERATED = 20;

    /** Models whose keys turn by the length of the text: beyond 16 tokens, those that were kept turned otherwise. */
    private static final List<String> DEPENDING_ON_LENGTH = List.of("llama_rope_dynamic", "llama_rope_longrope");

    @TempDir
    private Path folder;

    static Stream<String> names() {
        String only = System.getenv().getOrDefault("ADAPT_ONLY", "");
        return only.isEmpty() ? all() : Stream.of(only.split(","));
    }

    private static Stream<String> all() {
        return Stream.of(
                "llama_rope_dynamic",
                "llama_rope_longrope",
                "llama_rope_yarn",
                "llama_llama3_bias_untied",
                "llama_llama3_mlp_bias_tied",
                "llama_old_config",
                "llama_old_rope_type_key",
                "llama_head_dim16",
                "llama_gelu_mqa",
                "llama_bare_LlamaModel",
                "llama_seqcls",
                "llama_tokencls",
                "mistral_window",
                "mistral_no_window",
                "mistral_old_config",
                "ministral",
                "qwen2",
                "qwen2_window",
                "qwen2_window_old_config",
                "qwen2_seqcls",
                "qwen2_vl",
                "qwen3",
                "qwen3_moe",
                "gemma",
                "gemma2",
                "gemma3_text",
                "gemma3_multimodal",
                "llava",
                "phi",
                "phi3",
                "mixtral",
                "gpt_oss",
                "deepseek_v3",
                "smollm3",
                "olmo2",
                "granite",
                "exaone4",
                "glm4",
                "starcoder2",
                "cohere",
                "cohere2",
                "gpt2",
                "gpt2_fan_flag_false",
                "gpt2_scale_by_layer",
                "gpt2_no_scale_n_inner_relu",
                "gpt2_no_dropout",
                "gpt2_seqcls",
                "gpt2_double_heads",
                "gpt_bigcode",
                "gpt_neo",
                "gpt_neox",
                "gptj",
                "opt",
                "falcon",
                "bloom");
    }

    @BeforeAll
    void head() {
        System.out.printf("%-20s %-9s %8s %8s %8s %8s%n", "", "", "DJL", "ONNX", "float64", "past");
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("names")
    void logits(String name) throws IOException {
        String named = System.getenv("ADAPT_CASES");
        assumeTrue(named != null, "ADAPT_CASES does not name the folder of reference cases");
        Path each = Path.of(named, "arch", name);
        assumeTrue(Files.isDirectory(each), "there is no such case in " + named);
        Path base = copied(each.resolve("base"), folder.resolve(name));
        double largest = 0;
        try (SafetensorsFile io = SafetensorsFile.open(each.resolve("io.safetensors"));
                Checkpoint checkpoint = Checkpoint.open(base)) {
            assertTrue(
                    Stream.of("base", "adapter", "merged")
                            .anyMatch(form -> io.find(form + ".logits").isPresent()),
                    "the case holds no logits");
            BoundAdapter adapter = new Binding(checkpoint).bind(Adapter.read(each.resolve("adapter")), false);
            largest = Math.max(largest, compare(name, "base", Model.of(checkpoint), base, io));
            largest = Math.max(largest, compare(name, "adapter", Model.of(checkpoint, adapter), base, io));
            Path merged = folder.resolve(name + "-merged");
            new Merger(checkpoint, adapter, 2).merge(merged);
            try (Checkpoint result = Checkpoint.open(merged)) {
                largest = Math.max(largest, compare(name, "merged", Model.of(result), merged, io));
            }
        }
        assertTrue(largest <= TOLERANCE, "a logit is off by " + largest);
    }

    private static double compare(String name, String form, Model model, Path home, SafetensorsFile io)
            throws IOException {
        // where the merge changes nothing but the place of a sum, one of the two is enough
        Optional<String> expected = Stream.of(form, form.equals("adapter") ? "merged" : form)
                .map(each -> each + ".logits")
                .filter(each -> io.find(each).isPresent())
                .findFirst();
        if (expected.isEmpty()) {
            return 0;
        }
        DoubleTensor logits = DoubleTensor.of(io.tensor(expected.get()));
        Map<String, Tensor> inputs = new LinkedHashMap<>();
        model.architecture().inputs().forEach(input -> {
            var view = io.tensor("in." + input.name());
            inputs.put(input.name(), new LongTensor(view.shape(), view.toLongs()));
        });
        double size = Math.sqrt(Arrays.stream(logits.values())
                .map(each -> each * each)
                .average()
                .orElseThrow());
        double past = 0;
        if (model.architecture().cache().isPresent()) {
            Path file = home.resolve(form + "-past.onnx");
            OnnxExport.Options options =
                    new OnnxExport.Options(OnnxExport.Weights.LINKED, OnnxPrecision.FP32, false, true);
            OnnxExport.run(model, file, options);
            DoubleTensor expectedPast =
                    DEPENDING_ON_LENGTH.contains(name) ? steps(new ReferenceDecoder(model, true), inputs) : logits;
            past = withPast(file, expectedPast, inputs) / size;
            sameTokens(model, file, (LongTensor) inputs.get("input_ids"));
        }
        try (Engines engines = Engines.open(model, home.resolve(form + ".onnx"))) {
            Engines.Errors errors = engines.against(logits, inputs);
            System.out.printf(
                    "%-20s %-9s %8.1e %8.1e %8.1e %8.1e%n",
                    name, form, errors.djl() / size, errors.onnx() / size, errors.reference() / size, past);
            return Math.max(errors.largest() / size, past);
        }
    }

    /** The first sequence, which has no padding: a prefill and cached steps, the last logits of each. */
    private static double withPast(Path file, DoubleTensor logits, Map<String, Tensor> inputs) throws IOException {
        int vocabulary = (int) logits.shape().dim(logits.shape().rank() - 1);
        double largest = 0;
        try (OnnxRunner runner = OnnxRunner.open(file, "logits", Device.CPU)) {
            DoubleTensor found = steps(runner.decoder(true), inputs);
            int length = (int) found.shape().dim(1);
            for (int i = (PREFILL - 1) * vocabulary; i < length * vocabulary; i++) {
                double error = Math.abs(logits.values()[i] - found.values()[i]);
                largest = error > largest || Double.isNaN(error) ? error : largest;
            }
        }
        return largest;
    }

    /** [1, sequence, vocabulary] of the first sequence, of which a decoder reads {@link #PREFILL} tokens at once; 0 before. */
    private static DoubleTensor steps(Decoder decoder, Map<String, Tensor> inputs) {
        LongTensor ids = (LongTensor) inputs.get("input_ids");
        int length = (int) ids.shape().dim(1);
        try (decoder) {
            double[] all = {};
            int vocabulary = 0;
            for (int from = 0; from < length; from = Math.max(from + 1, PREFILL)) {
                int to = from == 0 ? PREFILL : from + 1;
                float[] found = decoder.append(Arrays.copyOfRange(ids.values(), from, to));
                vocabulary = found.length;
                all = Arrays.copyOf(all, length * vocabulary);
                for (int i = 0; i < vocabulary; i++) {
                    all[(to - 1) * vocabulary + i] = found[i];
                }
            }
            return new DoubleTensor(Shape.of(1, length, vocabulary), all);
        }
    }

    private static void sameTokens(Model model, Path file, LongTensor ids) throws IOException {
        long[] prompt = Arrays.copyOf(ids.values(), PREFILL);
        int room = model.architecture().tokens().orElseThrow().longest() - PREFILL;
        Generation generation = new Generation(
                Sampler.GREEDY,
                Math.min(GENERATED, room),
                Set.of(),
                model.architecture().cache().orElseThrow().rebuiltAfter());
        try (OnnxRunner runner = OnnxRunner.open(file, "logits", Device.CPU);
                Decoder cached = runner.decoder(true);
                Decoder plain = runner.decoder(false);
                Decoder djl = DjlDecoder.open(model, Devices.CPU, true)) {
            long[] expected = generation.run(plain, prompt, token -> {});
            assertArrayEquals(expected, generation.run(cached, prompt, token -> {}), "with past, ONNX Runtime");
            assertArrayEquals(expected, generation.run(djl, prompt, token -> {}), "with past, DJL");
        }
    }

    /**
     * The reference cases are read only, and an exported model lies beside its weights. transformers' default attention leaves
     * out Gemma 2's cap of scores, which its eager attention and the paper have: the logits of that case were made without it.
     */
    private static Path copied(Path from, Path to) throws IOException {
        Files.createDirectories(to);
        Files.copy(from.resolve(Checkpoint.SINGLE), to.resolve(Checkpoint.SINGLE));
        String config = Files.readString(from.resolve("config.json"));
        Files.writeString(
                to.resolve("config.json"),
                config.replace("\"attn_logit_softcapping\": 50.0", "\"attn_logit_softcapping\": null"));
        return to;
    }
}
