package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.huggingface.tokenizers.Encoding;
import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtSession;
import dev.langchain4j.model.embedding.onnx.OnnxEmbeddingModel;
import dev.langchain4j.model.embedding.onnx.PoolingMode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.springframework.ai.transformers.TransformersEmbeddingModel;

@DisplayName("The guide's examples of programs that serve exported models")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class ServingExamplesTest {
    private static final Path SOURCE = Path.of("src/test/java/dev/adapt/tests/ServingExamplesTest.java");

    private final MiniLm embedder = new MiniLm();
    private Path folder = Path.of("");

    @BeforeAll
    void prepare(@TempDir Path temporary) throws IOException {
        folder = temporary;
        embedder.prepare(temporary);
    }

    @ParameterizedTest
    @CsvSource({"fp32, 0.99999", "int8, 0.98", "int4, 0.94"})
    @DisplayName("LangChain4j's OnnxEmbeddingModel gives the reference's vectors")
    void langChain4j(String dtype, double least) {
        Path served = folder.resolve("langchain4j-" + dtype);
        Cli.succeeds("export-onnx", embedder.base(), "--for", "langchain4j", "--dtype", dtype, "--out", served);
        List<float[]> found = new ArrayList<>();
        for (String text : MiniLm.TEXTS) {
            found.add(langChain4j(served, text));
        }
        embedder.assertVectors(found, least);
    }

    private static float[] langChain4j(Path embedder, String text) {
        float[] vector;
        // GUIDE:
        OnnxEmbeddingModel model = new OnnxEmbeddingModel(
                embedder.resolve("model.onnx"), embedder.resolve("tokenizer.json"), PoolingMode.MEAN);
        vector = model.embed(text).content().vector();
        // end
        return vector;
    }

    @ParameterizedTest
    @CsvSource({"fp32, 0.99999", "int8, 0.98"})
    @DisplayName("Spring AI's TransformersEmbeddingModel gives the reference's vectors, for a batch of texts")
    void springAi(String dtype, double least) throws Exception {
        Path served = folder.resolve("spring-ai-" + dtype);
        Cli.succeeds("export-onnx", embedder.base(), "--for", "spring-ai", "--dtype", dtype, "--out", served);
        embedder.assertVectors(springAi(served, MiniLm.TEXTS), least);
    }

    private static List<float[]> springAi(Path embedder, List<String> texts) throws Exception {
        List<float[]> vectors;
        // GUIDE:
        try (TransformersEmbeddingModel model = new TransformersEmbeddingModel()) {
            model.setModelResource(embedder.resolve("model.onnx").toUri().toString());
            model.setTokenizerResource(
                    embedder.resolve("tokenizer.json").toUri().toString());
            model.setDisableCaching(true);
            model.afterPropertiesSet(); // Spring calls it where the model is a bean
            vectors = model.embed(texts);
        }
        // end
        return vectors;
    }

    @Test
    @DisplayName("ONNX Runtime and DJL's tokenizer serve an exported classifier, with the labels and scores of predict")
    void classifier() throws Exception {
        Path tiny = TinyBert.write(folder.resolve("tiny"), 1);
        Path data = Files.writeString(
                folder.resolve("data.tsv"),
                "text\tlabel\ngood movie\tyes\na good book\tyes\nbad movie\tno\na bad book\tno\n");
        Path adapter = folder.resolve("adapter");
        Path merged = folder.resolve("merged");
        Path served = folder.resolve("served");
        Cli.succeeds(
                "train",
                "--base",
                tiny,
                "--method",
                "lora",
                "--data",
                data,
                "--eval",
                data,
                "--out",
                adapter,
                "--epochs",
                12,
                "--batch-size",
                2,
                "--lr",
                0.02,
                "--head-lr",
                0.02,
                "--device",
                "cpu");
        Cli.succeeds("merge", adapter, "--into", tiny, "--out", merged);
        Cli.succeeds("export-onnx", merged, "--for", "optimum", "--no-token-types", "--out", served);
        List<String> texts = List.of("good movie", "the very bad book");
        float[][] logits = classifier(served, texts);
        List<String> lines = Cli.succeeds("predict", "--base", merged, texts.get(0), texts.get(1))
                .output()
                .lines()
                .toList();
        for (int i = 0; i < texts.size(); i++) {
            // labels are in the order of their names: no, yes
            String label = logits[i][0] > logits[i][1] ? "no" : "yes";
            double score = 1 / (1 + Math.exp(-Math.abs(logits[i][0] - logits[i][1])));
            assertEquals(label, lines.get(i).split("\t", -1)[0]);
            assertEquals(score, Double.parseDouble(lines.get(i).split("\t", -1)[1]), 1e-4);
        }
    }

    private static float[][] classifier(Path served, List<String> texts) throws Exception {
        float[][] logits;
        // GUIDE:
        OrtEnvironment environment = OrtEnvironment.getEnvironment();
        try (HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.builder()
                        .optTokenizerPath(served.resolve("tokenizer.json"))
                        .optPadding(true)
                        .optTruncation(true)
                        .optMaxLength(512)
                        .build();
                OrtSession session =
                        environment.createSession(served.resolve("model.onnx").toString())) {
            Encoding[] tokens = tokenizer.batchEncode(texts);
            long[][] ids = new long[tokens.length][];
            long[][] mask = new long[tokens.length][];
            for (int i = 0; i < tokens.length; i++) {
                ids[i] = tokens[i].getIds();
                mask[i] = tokens[i].getAttentionMask();
            }
            try (OnnxTensor first = OnnxTensor.createTensor(environment, ids);
                    OnnxTensor second = OnnxTensor.createTensor(environment, mask);
                    OrtSession.Result result = session.run(Map.of("input_ids", first, "attention_mask", second))) {
                logits = (float[][]) result.get(0).getValue();
            }
        }
        // end
        return logits;
    }

    @ParameterizedTest
    @ValueSource(strings = {"float[] langChain4j(", "List<float[]> springAi(", "float[][] classifier("})
    @DisplayName("are the code that the guide shows")
    void areTheGuides(String method) throws IOException {
        String source = Files.readString(SOURCE);
        String example = source.substring(source.indexOf("private static " + method));
        String code = example.substring(example.indexOf("// GUIDE:\n") + 10, example.indexOf("        // end\n"))
                .stripTrailing()
                .stripIndent();
        String guide = Files.readString(Path.of("..", "cli/src/docs/exporting.md"));
        assertTrue(guide.contains("```java\n" + code + "\n```\n"), "exporting.md does not show:\n" + code);
    }
}
