package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtSession;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.io.Sha256;
import dev.adapt.formats.sentence.SentenceModules;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.ZipFile;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("Folders for programs, and what an exported model gives")
class ClientFoldersTest {
    private static final JsonMapper JSON = new JsonMapper();
    private static final long[][] IDS = {{2, 5, 6, 3}, {2, 7, 3, 0}};
    private static final long[][] MASK = {{1, 1, 1, 1}, {1, 1, 1, 0}};

    @TempDir
    private Path folder;

    private Path base;

    @BeforeEach
    void prepare() throws IOException {
        base = TinyBert.write(folder.resolve("base"), 1);
    }

    private Path export(String... options) {
        Path out = folder.resolve("out-" + String.join("-", options).hashCode() + ".onnx");
        Cli.succeeds(Stream.concat(Stream.of("export-onnx", base, "--self-contained", "--out", out), Stream.of(options))
                .toArray());
        return out;
    }

    private static Object run(Path model) throws Exception {
        OrtEnvironment environment = OrtEnvironment.getEnvironment();
        try (OrtSession session = environment.createSession(model.toString());
                OnnxTensor ids = OnnxTensor.createTensor(environment, IDS);
                OnnxTensor mask = OnnxTensor.createTensor(environment, MASK)) {
            Map<String, OnnxTensor> inputs = Map.of("input_ids", ids, "attention_mask", mask);
            assertEquals(inputs.keySet(), session.getInputNames());
            try (OrtSession.Result result = session.run(inputs)) {
                return result.get(0).getValue();
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"mean, false", "mean, true", "cls, false", "max, true", "last, false"})
    @DisplayName("a vector of a text is what its pooling makes of the token states")
    void vectors(String pooling, boolean normalized) throws Exception {
        float[][][] states = (float[][][]) run(export("--no-token-types", "--output", "last_hidden_state"));
        float[][] vectors = (float[][]) run(export(
                "--no-token-types",
                "--output",
                "sentence_embedding",
                "--pooling",
                pooling,
                "--normalize",
                "" + normalized));
        for (int row = 0; row < IDS.length; row++) {
            int length = row == 0 ? 4 : 3;
            double[] expected = new double[vectors[row].length];
            double square = 0;
            for (int i = 0; i < expected.length; i++) {
                double sum = 0;
                double most = -Double.MAX_VALUE;
                for (int token = 0; token < length; token++) {
                    sum += states[row][token][i];
                    most = Math.max(most, states[row][token][i]);
                }
                expected[i] = switch (pooling) {
                    case "mean" -> sum / length;
                    case "cls" -> states[row][0][i];
                    case "max" -> most;
                    default -> states[row][length - 1][i];
                };
                square += expected[i] * expected[i];
            }
            for (int i = 0; i < expected.length; i++) {
                assertEquals(expected[i] / (normalized ? Math.sqrt(square) : 1), vectors[row][i], 1e-5);
            }
        }
    }

    @Test
    @DisplayName("the body of a classifier is exported where token states are asked for")
    void body() throws Exception {
        float[][][] plain = (float[][][]) run(export("--no-token-types"));
        Path classifier = TinyModel.BERT_CLASSIFIER.write(folder.resolve("classifier"), 5);
        Path logits = folder.resolve("logits.onnx");
        Path states = folder.resolve("states.onnx");
        for (Map.Entry<Path, String> each :
                Map.of(logits, "logits", states, "last_hidden_state").entrySet()) {
            Cli.succeeds(
                    "export-onnx",
                    classifier,
                    "--self-contained",
                    "--no-token-types",
                    "--out",
                    each.getKey(),
                    "--output",
                    each.getValue());
        }
        assertEquals(3, ((float[][]) run(logits))[0].length);
        assertEquals(plain[0][0].length, ((float[][][]) run(states))[0][0].length);
        Cli refused = Cli.run("export-onnx", base, "--output", "logits", "--out", base.resolve("no.onnx"));
        assertEquals(2, refused.exitCode());
        assertTrue(refused.errors().contains("the model's class gives last_hidden_state"), refused.errors());
    }

    private Set<String> write(String program, String... options) throws IOException {
        Path out = folder.resolve(program);
        Cli.succeeds(Stream.concat(Stream.of("export-onnx", base, "--for", program, "--out", out), Stream.of(options))
                .toArray());
        try (Stream<Path> files = Files.walk(out)) {
            return files.filter(Files::isRegularFile)
                    .map(file -> out.relativize(file).toString())
                    .collect(Collectors.toCollection(TreeSet::new));
        }
    }

    @Test
    @DisplayName("transformers.js gets what it wants to know of the tokenizer, and models by their types")
    void transformersJs() throws IOException {
        assertEquals(
                Set.of("config.json", "tokenizer.json", "tokenizer_config.json", "onnx/model_quantized.onnx"),
                write("transformers.js", "--dtype", "int8"));
        JsonNode config = JSON.readTree(Files.readString(folder.resolve("transformers.js/tokenizer_config.json")));
        assertEquals("BertTokenizer", config.path("tokenizer_class").asText());
        assertTrue(config.path("model_max_length").asInt() > 0);
        for (String role : List.of("cls_token", "sep_token", "pad_token", "unk_token")) {
            assertTrue(config.hasNonNull(role), role + " in " + config);
        }
    }

    @Test
    @DisplayName("OpenSearch gets an archive with its digest, and the model's pooling")
    void openSearch() throws IOException {
        assertEquals(Set.of("model.zip", "register.json"), write("opensearch", "--pooling", "cls", "--normalize"));
        Path archive = folder.resolve("opensearch/model.zip");
        JsonNode request = JSON.readTree(Files.readString(folder.resolve("opensearch/register.json")));
        try (InputStream in = Files.newInputStream(archive)) {
            assertEquals(
                    Sha256.hex(in), request.path("model_content_hash_value").asText());
        }
        assertEquals(
                Files.size(archive), request.path("model_content_size_in_bytes").asLong());
        assertEquals("CLS", request.path("model_config").path("pooling_mode").asText());
        assertTrue(request.path("model_config").path("normalize_result").asBoolean());
        try (ZipFile zip = new ZipFile(archive.toFile())) {
            assertEquals(
                    Set.of("model.onnx", "tokenizer.json"),
                    zip.stream().map(entry -> entry.getName()).collect(Collectors.toSet()));
            JsonNode tokenizer = JSON.readTree(zip.getInputStream(zip.getEntry("tokenizer.json")));
            assertTrue(tokenizer.path("truncation").path("max_length").asInt() > 0);
        }
    }

    @Test
    @DisplayName("Vespa is told the pooling and the normalisation that modules.json names")
    void vespa() throws IOException {
        new SentenceModules(Pooling.CLS, true).write(base, TinyBert.HIDDEN);
        assertEquals(Set.of("embedder.xml", "model.onnx", "tokenizer.json"), write("vespa", "--no-token-types"));
        String component = Files.readString(folder.resolve("vespa/embedder.xml"));
        assertTrue(component.contains("<pooling-strategy>cls</pooling-strategy>"), component);
        assertTrue(component.contains("<normalize>true</normalize>"), component);
        assertTrue(component.contains("<transformer-token-type-ids/>"), component);
    }

    @ParameterizedTest
    @ValueSource(strings = {"spring-ai", "langchain4j"})
    @DisplayName("a program that pools in another way than the model is refused")
    void otherPooling(String program) throws IOException {
        new SentenceModules(Pooling.LAST, true).write(base, TinyBert.HIDDEN);
        Path out = folder.resolve("refused");
        Cli refused = Cli.run("export-onnx", base, "--for", program, "--out", out);
        assertEquals(2, refused.exitCode());
        assertTrue(refused.errors().contains("are pooled by last"), refused.errors());
        assertTrue(Files.notExists(out), "nothing is left behind");
    }
}
