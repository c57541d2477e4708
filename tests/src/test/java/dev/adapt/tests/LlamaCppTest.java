package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

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

    private static final int GREEDY = 32;

    private static final int VOCABULARY = 512;

    /** Sizes of our models: room for a tokenizer and for the tokens that are added, and no window. */
    private static final Map<String, Integer> ROOM =
            Map.of("vocab_size", VOCABULARY, "max_position_embeddings", 128, "sliding_window", 128);

    private static final JsonMapper JSON = new JsonMapper();
    private static final List<String> TEXTS = List.of(
            "the cat and the dog sat on the mat that a man had put there for them as it was cold and wet that day",
            "ten men sat",
            "a cat");

    /** What llama.cpp takes for granted: the case has other values, and is refused. */
    private static final Map<String, String> CHANGED = Map.of(
            "arch/qwen3_moe", "{\"norm_topk_prob\": true}",
            "arch/smollm3", "{\"no_rope_layers\": [1, 1]}",
            "methods/target_parameters_gpt_oss",
                    "{\"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": 32.0, \"rope_theta\": 150000.0,"
                            + " \"original_max_position_embeddings\": 4096, \"truncate\": true}}");

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
                "methods/target_parameters_gpt_oss",
                "methods/target_parameters_mixtral_down",
                "methods/lora_mixtral_v4_expert_keys",
                "LLAMA",
                "MISTRAL",
                "QWEN2",
                "models/aidreams260K",
                "models/stories260K");
    }

    @BeforeAll
    static void head() {
        System.out.println("| model | tokenizer | form | difference | with llama.cpp's GELU | greedy tokens |");
        System.out.println("|---|---|---|---|---|---|");
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("decoders")
    void decodes(String name) throws IOException {
        Path home = Files.createDirectories(folder.resolve(name));
        Path base = base(name, home.resolve("base"));
        int vocabulary = vocabulary(base);
        TextVocabulary kind = kind(name, vocabulary);
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
        List<long[]> texts = tokens(base);
        // a text of more than 16 tokens: of fewer, llama.cpp takes other factors of positions than transformers
        // (longrope)
        List<long[]> rows = List.of(random(vocabulary, 24), random(vocabulary, 17), texts.getFirst());
        LlamaCpp client = new LlamaCpp();
        client.tokenize(home.resolve("base.gguf"), TEXTS);
        for (Map.Entry<String, Path> form : forms.entrySet()) {
            boolean beside = form.getKey().equals("LoRA file");
            Path gguf = home.resolve(beside ? "base.gguf" : form.getKey() + ".gguf");
            if (!beside) {
                Cli.succeeds("export-gguf", form.getValue(), "--dtype", "f32", "--out", gguf);
            }
            client.decode(gguf, beside ? lora : Optional.empty(), rows, GREEDY);
        }
        List<JsonNode> results = client.run(home);
        requireSame(texts, results.removeFirst());
        double worst = 0;
        for (Map.Entry<String, Path> form : forms.entrySet()) {
            worst = Math.max(worst, compare(name, kind, form, rows, results.removeFirst()));
        }
        assertTrue(worst <= TOLERANCE, name + " differs by " + worst);
    }

    @ParameterizedTest(name = "BERT, {0}")
    @ValueSource(strings = {"mean", "cls"})
    void embeds(String pooling) throws IOException {
        Path home = Files.createDirectories(folder.resolve(pooling));
        Path base = TinyModel.BERT.write(home.resolve("base"), 3, ROOM);
        TextVocabulary.WORDPIECE.write(base, VOCABULARY, TEXTS, List.of());
        boolean mean = pooling.equals("mean");
        Files.writeString(
                Files.createDirectory(base.resolve("1_Pooling")).resolve("config.json"),
                "{\"pooling_mode_mean_tokens\": " + mean + ", \"pooling_mode_cls_token\": " + !mean + "}");
        Path gguf = home.resolve("base.gguf");
        Cli.succeeds("export-gguf", base, "--out", gguf);
        LlamaCpp client = new LlamaCpp();
        client.embed(gguf, TEXTS);
        JsonNode found = client.run(home).getFirst().path("embeddings");
        double exact = 0;
        double tabled = 0;
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            Model model = Model.of(checkpoint);
            List<long[]> rows = tokens(base);
            for (int text = 0; text < TEXTS.size(); text++) {
                double[] embedding = LlamaCpp.doubles(found.path(text));
                DoubleTensor states = logits(model, new ReferenceOps(), framed(rows.get(text)));
                exact = Math.max(exact, distance(pooled(states, mean), embedding));
                DoubleTensor rounded = logits(model, GgmlGelu.ops(), framed(rows.get(text)));
                tabled = Math.max(tabled, distance(pooled(rounded, mean), embedding));
            }
        }
        System.out.printf("| BERT | WORDPIECE | %s | %.1e | %.1e | |%n", pooling, exact, tabled);
        assertTrue(tabled <= TOLERANCE, "differs by " + tabled);
    }

    /** With {@code [CLS]} before and {@code [SEP]} after. */
    private static long[] framed(long... row) {
        return LongStream.concat(LongStream.concat(LongStream.of(2), Arrays.stream(row)), LongStream.of(3))
                .toArray();
    }

    /** The first token's state, or the mean of all: [1, tokens, width] becomes [width]. */
    private static double[] pooled(DoubleTensor states, boolean mean) {
        int tokens = (int) states.shape().dim(1);
        double[] sum = new double[(int) states.shape().dim(2)];
        int pooled = mean ? tokens : 1;
        for (int i = 0; i < pooled * sum.length; i++) {
            sum[i % sum.length] += states.values()[i] / pooled;
        }
        return sum;
    }

    private static double distance(double[] expected, double... found) {
        assertEquals(expected.length, found.length);
        double largest = 0;
        for (int i = 0; i < expected.length; i++) {
            double error = Math.abs(expected[i] - found[i]);
            largest = error > largest || Double.isNaN(error) ? error : largest;
        }
        return largest;
    }

    /** A kind of vocabulary that a table of that size has room for: SentencePiece needs a token for each byte. */
    private static TextVocabulary kind(String name, int vocabulary) {
        List<TextVocabulary> kinds = vocabulary > 400
                ? List.of(TextVocabulary.values())
                : List.of(TextVocabulary.BYTE_LEVEL, TextVocabulary.UNIGRAM, TextVocabulary.WORDPIECE);
        return kinds.get(Math.floorMod(decoders().toList().indexOf(name), kinds.size()));
    }

    private static void requireSame(List<long[]> expected, JsonNode found) {
        for (int text = 0; text < expected.size(); text++) {
            assertEquals(
                    Arrays.stream(expected.get(text)).boxed().toList(),
                    LlamaCpp.longs(found.path("ids").path(text)),
                    TEXTS.get(text));
        }
    }

    /** The tokens of the texts as tokenizer.json tells, without special ones. */
    private static List<long[]> tokens(Path base) throws IOException {
        try (HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.builder()
                .optTokenizerPath(base.resolve("tokenizer.json"))
                .optAddSpecialTokens(false)
                .optTruncation(false)
                .optPadding(false)
                .build()) {
            return TEXTS.stream()
                    .map(text -> tokenizer.encode(text, false, false).getIds())
                    .toList();
        }
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
                rounded = Math.max(rounded, difference(logits(model, GgmlGelu.ops(), rows.get(row)), found));
                List<Long> tokens = LlamaCpp.longs(result.path("greedy").path(row));
                List<Long> own = greedy(form.getValue(), rows.get(row));
                if (own.equals(tokens)) {
                    same++;
                } else {
                    requireTie(model, rows.get(row), own, tokens, exact);
                }
            }
        }
        System.out.printf(
                "| %s | %s | %s | %.1e | %.1e | %d of %d |%n",
                name, kind, form.getKey(), exact, rounded, same, rows.size());
        return rounded;
    }

    /** Where two greedy texts part, both tokens are as likely, but for the difference of the engines. */
    private static void requireTie(Model model, long[] row, List<Long> own, List<Long> found, double difference) {
        int at = IntStream.range(0, own.size())
                .filter(i -> !own.get(i).equals(found.get(i)))
                .findFirst()
                .orElseThrow();
        long[] before = LongStream.concat(
                        Arrays.stream(row), own.subList(0, at).stream().mapToLong(Long::longValue))
                .toArray();
        DoubleTensor logits = logits(model, new ReferenceOps(), before);
        int last = (before.length - 1) * (int) logits.shape().dim(2);
        double gap = logits.values()[last + own.get(at).intValue()]
                - logits.values()[last + found.get(at).intValue()];
        System.out.printf("    token %d of the greedy text: a tie but for %.1e%n", at, gap);
        assertTrue(
                Math.abs(gap) <= 2 * difference,
                "the texts part at token " + at + ", of which one is better by " + gap);
    }

    private static List<Long> greedy(Path model, long[] row) {
        String prompt =
                String.join(",", Arrays.stream(row).mapToObj(Long::toString).toList());
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

    private static long[] random(int vocabulary, int length) {
        return new Random(length).longs(length, 3, vocabulary).toArray();
    }

    private static int vocabulary(Path base) throws IOException {
        JsonNode config = JSON.readTree(base.resolve("config.json").toFile());
        return config.path("vocab_size")
                .asInt(config.path("text_config").path("vocab_size").asInt());
    }

    /** A model that can be changed. */
    private Path base(String name, Path home) throws IOException {
        if (!name.contains("/")) {
            return TinyModel.valueOf(name).write(home, 3, ROOM);
        }
        Path from = source(name);
        Files.createDirectories(home);
        Files.copy(from.resolve(Checkpoint.SINGLE), home.resolve(Checkpoint.SINGLE));
        ObjectNode config =
                (ObjectNode) JSON.readTree(from.resolve("config.json").toFile());
        config.setAll((ObjectNode) JSON.readTree(CHANGED.getOrDefault(name, "{}")));
        Files.writeString(home.resolve("config.json"), config.toString());
        return home;
    }

    private Path source(String name) throws IOException {
        return name.startsWith("models/")
                ? Path.of(Objects.requireNonNull(System.getenv("ADAPT_CASES"), "ADAPT_CASES"), "..", name)
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
        TinyModel.valueOf(name).write(other, 4, ROOM);
        Path adapter = home.resolve("adapter");
        Cli.succeeds(
                "extract",
                "--base",
                base,
                "--from",
                other,
                "--target",
                "q_proj,k_proj,v_proj,down_proj",
                "--rank",
                "3",
                "--out",
                adapter);
        return Optional.of(adapter);
    }
}
