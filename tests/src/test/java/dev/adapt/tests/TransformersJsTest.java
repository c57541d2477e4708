package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** clients/transformers-js.mjs runs in the folder that the environment variable names, which clients/transformers-js fills. */
@DisplayName("transformers.js on Node loads exported folders and gives the reference's vectors")
@EnabledIfEnvironmentVariable(named = TransformersJsTest.FOLDER, matches = ".+")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class TransformersJsTest {
    static final String FOLDER = "ADAPT_TRANSFORMERS_JS";

    private static final JsonMapper JSON = new JsonMapper();

    private final MiniLm embedder = new MiniLm();
    private Path folder = Path.of("");

    @BeforeAll
    void prepare(@TempDir Path temporary) throws IOException {
        folder = temporary;
        embedder.prepare(temporary);
    }

    @ParameterizedTest
    @CsvSource({"fp32, fp32, 0.99999", "int8, q8, 0.98", "int4, q4, 0.94"})
    void embeds(String dtype, String named, double least) throws Exception {
        Path out = folder.resolve("minilm-" + dtype);
        Cli.succeeds("export-onnx", embedder.base(), "--for", "transformers.js", "--dtype", dtype, "--out", out);
        ObjectNode job = JSON.createObjectNode()
                .put("task", "feature-extraction")
                .put("model", String.valueOf(out.getFileName()))
                .put("dtype", named);
        MiniLm.TEXTS.forEach(job.putArray("texts")::add);
        job.putObject("options").put("pooling", "mean").put("normalize", true);
        JsonNode vectors = run(job);
        assertEquals(MiniLm.TEXTS.size(), vectors.size());
        List<float[]> found =
                vectors.valueStream().map(TransformersJsTest::floats).toList();
        embedder.assertVectors(found, least);
    }

    private static float[] floats(JsonNode vector) {
        float[] values = new float[vector.size()];
        for (int i = 0; i < values.length; i++) {
            values[i] = vector.path(i).floatValue();
        }
        return values;
    }

    private JsonNode run(ObjectNode job) throws IOException, InterruptedException {
        Path home = Path.of(Objects.requireNonNull(System.getenv(FOLDER), FOLDER));
        Path input = Files.writeString(folder.resolve("job.json"), job.toString());
        Path result = folder.resolve("result.json");
        Path log = folder.resolve("client.log");
        Process process = new ProcessBuilder(
                        "node", "transformers-js.mjs", folder.toString(), input.toString(), result.toString())
                .directory(home.toFile())
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        assertTrue(process.waitFor() == 0, () -> "the client failed: " + log);
        return JSON.readTree(Files.readString(result));
    }
}
