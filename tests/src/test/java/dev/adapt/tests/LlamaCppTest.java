package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Activation;
import dev.adapt.formats.graph.Ops;
import dev.adapt.formats.graph.ReferenceOps;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * llama.cpp computes what adapt computes: log-probabilities, greedy tokens and embeddings of exported models, of merged ones
 * and of those with the exported adapter beside them.
 */
@DisplayName("llama.cpp on exported GGUF files")
@EnabledIfEnvironmentVariable(named = LlamaCpp.FOLDER, matches = ".+")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class LlamaCppTest {
    /** Of log-probabilities and of embeddings of length 1. */
    private static final double TOLERANCE = 1e-3;

    /** What float32 leaves where llama.cpp's GELU is computed as llama.cpp does. */
    private static final double ROUNDING = 1e-4;

    private static final int GREEDY = 32;
    private static final JsonMapper JSON = new JsonMapper();
    private static final List<String> TEXTS = List.of("the cat sat on a mat", "a dog and a cat", "ten men sat");

    @TempDir
    private Path folder;

    static Stream<String> decoders() {
        return Stream.of(
                "arch/gemma",
                "arch/gemma2",
                "arch/gemma3_text",
                "arch/gemma3_multimodal",
                "arch/gpt2_double_heads",
                "arch/gpt_oss",
                "arch/granite",
                "arch/llama_rope_longrope",
                "arch/mixtral",
                "arch/olmo2",
                "arch/phi3",
                "arch/qwen3",
                "arch/qwen3_moe",
                "arch/smollm3",
                "methods/lora_pissa",
                "LLAMA",
                "MISTRAL",
                "QWEN2",
                "models/aidreams260K",
                "models/stories260K");
    }

    static Stream<String> encoders() {
        return Stream.of("BERT", "arch/bert_maskedlm", "arch/modernbert");
    }

    @BeforeAll
    static void head() {
        System.out.println("| model | tokenizer | form | Δ log p | with llama.cpp's GELU | greedy tokens | texts |");
        System.out.println("|---|---|---|---|---|---|---|");
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("decoders")
    void decodes(String name) throws IOException {
        Path home = Files.createDirectories(folder.resolve(name));
        Path base = base(name, home.resolve("base"));
        int vocabulary = vocabulary(base);
        TextVocabulary kind = TextVocabulary.values()[Math.floorMod(name.hashCode(), TextVocabulary.values().length)];
        kind.write(base, vocabulary, TEXTS, List.of());
        Map<String, Path> forms = new LinkedHashMap<>();
        forms.put("base", base);
        Optional<Path> adapter = adapter(name, base, home);
        Optional<Path> lora = Optional.empty();
        if (adapter.isPresent()) {
            Path merged = home.resolve("merged");
            Cli.succeeds("merge", adapter.get(), "--into", base, "--out", merged);
            forms.put("merged", merged);
            Path file = home.resolve("lora.gguf");
            Cli exported = Cli.run("export-gguf", adapter.get(), "--base", base, "--out", file);
            if (exported.exitCode() == 0) {
                lora = Optional.of(file);
                forms.put("LoRA file", merged);
            } else {
                System.out.println("<!-- " + name + ": " + exported.errors().strip() + " -->");
                assertEquals(3, exported.exitCode(), exported.errors());
            }
        }
        List<long[]> rows = rows(vocabulary);
        LlamaCpp client = new LlamaCpp();
        for (Map.Entry<String, Path> form : forms.entrySet()) {
            boolean beside = form.getKey().equals("LoRA file");
            Path gguf = home.resolve(beside ? "base.gguf" : form.getKey() + ".gguf");
            if (!beside) {
                Cli.succeeds("export-gguf", form.getValue(), "--dtype", "f32", "--out", gguf);
            }
            client.decode(gguf, beside ? lora : Optional.empty(), rows, GREEDY);
        }
        List<JsonNode> results = client.run(home);
        double worst = 0;
        for (Map.Entry<String, Path> form : forms.entrySet()) {
            worst = Math.max(worst, compare(name, kind, form, rows, results.removeFirst()));
        }
        assertTrue(worst <= TOLERANCE, name + " differs by " + worst);
    }

    /** The larger of the two differences: with llama.cpp's GELU. */
    private static double compare(
            String name, TextVocabulary kind, Map.Entry<String, Path> form, List<long[]> rows, JsonNode result)
            throws IOException {
        double exact = 0;
        double rounded = 0;
        int same = 0;
        try (Checkpoint checkpoint = Checkpoint.open(form.getValue())) {
            Model model = Model.of(checkpoint);
            for (int row = 0; row < rows.size(); row++) {
                JsonNode found = result.path("probabilities").path(row);
                exact = Math.max(exact, difference(logits(model, new ReferenceOps(), rows.get(row)), found));
                rounded = Math.max(rounded, difference(logits(model, tabledGelu(), rows.get(row)), found));
                List<Long> tokens = LlamaCpp.longs(result.path("greedy").path(row));
                if (greedy(form.getValue(), rows.get(row)).equals(tokens)) {
                    same++;
                }
            }
        }
        System.out.printf(
                "| %s | %s | %s | %.1e | %.1e | %d of %d | |%n",
                name, kind, form.getKey(), exact, rounded, same, rows.size());
        return rounded;
    }

    private static List<Long> greedy(Path model, long[] row) {
        String prompt = String.join(
                ",", Arrays.stream(row).mapToObj(Long::toString).toList());
        Cli run = Cli.succeeds(
                "generate", "--base", model, "--prompt-ids", prompt, "--max-new-tokens", GREEDY, "--eos=-1");
        List<Long> ids = Arrays.stream(run.output().strip().split(","))
                .map(Long::parseLong)
                .toList();
        return ids.subList(row.length, ids.size());
    }

    /** The largest difference of log-probabilities, of tokens whose probability float32 can hold. */
    private static double difference(DoubleTensor logits, JsonNode found) {
        int vocabulary = (int) logits.shape().dim(2);
        double largest = 0;
        for (int at = 0; at < logits.shape().dim(1); at++) {
            double[] expected =
                    logNormalized(Arrays.copyOfRange(logits.values(), at * vocabulary, (at + 1) * vocabulary));
            double[] probabilities = LlamaCpp.doubles(found.path(at));
            assertTrue(probabilities.length <= vocabulary, "more tokens than rows of the table");
            for (int id = 0; id < probabilities.length; id++) {
                if (expected[id] > Math.log(1e-30)) {
                    double error = Math.abs(expected[id] - Math.log(probabilities[id]));
                    largest = error > largest || Double.isNaN(error) ? error : largest;
                }
            }
        }
        return largest;
    }

    private static double[] logNormalized(double... logits) {
        double most = Arrays.stream(logits).max().orElseThrow();
        double sum = Arrays.stream(logits).map(x -> Math.exp(x - most)).sum();
        return Arrays.stream(logits).map(x -> x - most - Math.log(sum)).toArray();
    }

    private static DoubleTensor logits(Model model, Ops<DoubleTensor> ops, long... row) {
        Map<String, DoubleTensor> inputs = new LinkedHashMap<>();
        model.architecture().inputs().forEach(input -> {
            long[] values = new long[row.length];
            for (int i = 0; i < row.length; i++) {
                values[i] = switch (input.name()) {
                    case "input_ids" -> row[i];
                    case "attention_mask" -> 1;
                    case "position_ids" -> i;
                    default -> 0;
                };
            }
            inputs.put(input.name(), DoubleTensor.of(new LongTensor(Shape.of(1, row.length), values)));
        });
        return model.forward(ops, leaf -> DoubleTensor.of(model.leaf(leaf)), inputs);
    }

    /** Float64, but for GELU: ggml looks it up, the tanh form, by float16 inputs in a table of float16 values. */
    @SuppressWarnings("unchecked")
    private static Ops<DoubleTensor> tabledGelu() {
        ReferenceOps exact = new ReferenceOps();
        return (Ops<DoubleTensor>)
                Proxy.newProxyInstance(Ops.class.getClassLoader(), new Class<?>[] {Ops.class}, (proxy, method, args) -> {
                    boolean gelu = method.getName().equals("activation")
                            && (args[1] == Activation.GELU || args[1] == Activation.GELU_TANH);
                    if (gelu) {
                        DoubleTensor x = (DoubleTensor) args[0];
                        double[] values = Arrays.stream(x.values())
                                .map(LlamaCppTest::tabled)
                                .toArray();
                        return new DoubleTensor(x.shape(), values);
                    }
                    try {
                        return method.invoke(exact, args);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                });
    }

    private static double tabled(double wide) {
        if (wide <= -10 || wide >= 10) {
            return Math.max(wide, 0);
        }
        double x = Float.float16ToFloat(Float.floatToFloat16((float) wide));
        double gelu = 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));
        return Float.float16ToFloat(Float.floatToFloat16((float) gelu));
    }

    private static List<long[]> rows(int vocabulary) {
        Random random = new Random(5);
        List<long[]> rows = new ArrayList<>();
        for (int length : new int[] {24, 9}) {
            rows.add(random.longs(length, 3, vocabulary).toArray());
        }
        return rows;
    }

    private static int vocabulary(Path base) throws IOException {
        JsonNode config = JSON.readTree(base.resolve("config.json").toFile());
        return config.path("vocab_size")
                .asInt(config.path("text_config").path("vocab_size").asInt());
    }

    /** A model that can be changed; those of ours get room for the tokens that are added. */
    private Path base(String name, Path home) throws IOException {
        if (!name.contains("/")) {
            return widened(TinyModel.valueOf(name).write(home, 3));
        }
        Path from = source(name);
        Files.createDirectories(home);
        Files.copy(from.resolve(Checkpoint.SINGLE), home.resolve(Checkpoint.SINGLE));
        Files.copy(from.resolve("config.json"), home.resolve("config.json"));
        return home;
    }

    private static Path widened(Path home) throws IOException {
        Path file = home.resolve("config.json");
        ObjectNode config = (ObjectNode) JSON.readTree(file.toFile());
        if (!config.path("model_type").asText().equals("bert")) {
            config.put("max_position_embeddings", 128).remove("sliding_window");
        }
        Files.writeString(file, config.toString());
        return home;
    }

    private Path source(String name) throws IOException {
        return name.startsWith("models/")
                ? Path.of(System.getenv("ADAPT_CASES"), "..", name)
                : StoredCases.at(name, folder.resolve("cases")).resolve("base");
    }

    private Optional<Path> adapter(String name, Path base, Path home) throws IOException {
        if (name.startsWith("arch/") || name.startsWith("methods/")) {
            return Optional.of(source(name).resolveSibling("adapter"));
        }
        Path other = home.resolve("other");
        Files.createDirectories(other);
        if (name.contains("/")) {
            return Optional.empty();
        }
        widened(TinyModel.valueOf(name).write(other, 4));
        Path adapter = home.resolve("adapter");
        Cli.succeeds(
                "extract", "--base", base, "--from", other, "--target", "q_proj,k_proj,v_proj,down_proj", "--rank", "3",
                "--out", adapter);
        return Optional.of(adapter);
    }
}
