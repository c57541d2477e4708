package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.architecture.query.QueryDecoder;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.merge.LorsMerge;
import dev.adapt.verify.input.Inputs;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("Adaptive mixing with LORS")
class LorsAdaptiveTest {
    private static final double TOLERANCE = 1e-5;

    @TempDir
    private Path folder;

    @Test
    @DisplayName("gives what the authors' module gave, at every stage, unmerged and merged, on every engine")
    void isTheAuthorsModule() throws IOException {
        Path home = StoredCases.at("fixtures/lors_adaptive", folder);
        JsonNode sizes = new JsonMapper().readTree(home.resolve("case.json").toFile());
        try (SafetensorsFile reference = SafetensorsFile.open(home.resolve("case.safetensors"))) {
            int stages = sizes.path("num_stages").asInt();
            for (int stage = 0; stage < stages; stage++) {
                Path lors = oneStage(sizes, reference, stage);
                Path plain = folder.resolve("plain" + stage);
                LorsMerge.run(lors, plain);
                compare(reference, stage, lors, "unmerged");
                compare(reference, stage, plain, "merged");
            }
        }
    }

    /** The module's stages all read the same queries: each is a decoder of one stage that has nothing but the mixing. */
    private Path oneStage(JsonNode sizes, SafetensorsFile reference, int stage) throws IOException {
        int groups = sizes.path("n_groups").asInt();
        ObjectNode config = new JsonMapper().createObjectNode();
        config.put("model_type", QueryDecoder.TYPE);
        config.put("num_stages", 1);
        config.put("hidden_size", sizes.path("query_dim").asInt());
        config.put("num_groups", groups);
        config.put("num_channels", sizes.path("in_dim").asInt() / groups);
        config.put("in_points", sizes.path("in_points").asInt());
        config.put("out_points", sizes.path("out_points").asInt());
        ObjectNode lors = config.putObject("lors");
        lors.putArray("ranks").add(sizes.path("kernel_sizes").path(stage));
        lors.putArray("groups").add(sizes.path("kernel_groups").path(stage));
        lors.putArray("projection_ranks").add(sizes.path("mix_out_proj_ranks").path(stage));
        Path home = Files.createDirectory(folder.resolve("lors" + stage));
        Files.writeString(home.resolve(ModelConfig.FILE), config.toPrettyString());
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        for (TensorView tensor : reference.tensors()) {
            ofStage(tensor.name(), stage).ifPresent(name -> tensors.put(name, FloatTensor.of(tensor)));
        }
        SafetensorsWriter.write(home.resolve(Checkpoint.SINGLE), tensors, Map.of());
        return home;
    }

    /** A parameter's name in a decoder whose one stage is this one: those without a number are shared. */
    private static Optional<String> ofStage(String name, int stage) {
        if (!name.startsWith("w.")) {
            return Optional.empty();
        }
        String bare = name.substring(2);
        String own = bare.replaceFirst("\\." + stage + "(?=$|\\.)", ".0");
        boolean shared = !bare.matches(".*\\.\\d+($|\\..*)");
        boolean ofStage = bare.matches(".*\\." + stage + "($|\\..*)");
        return shared || ofStage ? Optional.of("mixing." + own) : Optional.empty();
    }

    private static void compare(SafetensorsFile reference, int stage, Path home, String form) throws IOException {
        Map<String, Tensor> inputs = Map.of(
                QueryDecoder.FEATURES, reference.tensor("in.x"), QueryDecoder.QUERIES, reference.tensor("in.query"));
        DoubleTensor expected = DoubleTensor.of(reference.tensor("out.stage" + stage));
        try (Checkpoint checkpoint = Checkpoint.open(home);
                Engines engines = Engines.open(Model.of(checkpoint), home.resolve("model.onnx"))) {
            Engines.Errors errors = engines.against(expected, inputs);
            System.out.printf(
                    Locale.ROOT,
                    "lors_adaptive stage %d, %-8s: DJL differs by %.1e, ONNX Runtime by %.1e, float64 by %.1e%n",
                    stage,
                    form,
                    errors.djl(),
                    errors.onnx(),
                    errors.reference());
            assertTrue(errors.largest() <= TOLERANCE, errors::toString);
        }
    }

    @Test
    @DisplayName("in a decoder merges to a plain one that gives the same")
    void theMergedDecoderIsPlain() throws IOException {
        Path lors = TinyModel.QUERY_DECODER_LORS.write(folder.resolve("lors"), 7);
        Path plain = folder.resolve("plain");
        LorsMerge merged = LorsMerge.run(lors, plain);
        try (Checkpoint before = Checkpoint.open(lors);
                Checkpoint after = Checkpoint.open(plain);
                Engines unmerged = Engines.open(Model.of(before), lors.resolve("model.onnx"));
                Engines engines = Engines.open(Model.of(after), plain.resolve("model.onnx"))) {
            assertTrue(after.requireConfig().json().path("lors").isMissingNode());
            assertEquals(
                    merged.after(),
                    after.tensors().values().stream()
                            .mapToLong(tensor -> tensor.shape().elements())
                            .sum());
            for (Map<String, Tensor> batch :
                    Inputs.random(ModelConfig.of(after), 5, 2, false).batches()) {
                DoubleTensor expected = unmerged.reference().run(batch);
                for (Engines each : List.of(unmerged, engines)) {
                    Engines.Errors errors = each.against(expected, batch);
                    assertTrue(errors.largest() <= TOLERANCE, errors::toString);
                }
            }
        }
    }

    @Test
    @DisplayName("in a decoder is exported and verified as any checkpoint is, in either form")
    void goesThroughTheCommands() throws IOException {
        Path lors = TinyModel.QUERY_DECODER_LORS.write(folder.resolve("lors"), 7);
        Path plain = folder.resolve("plain");
        Cli merged = Cli.succeeds("merge", lors, "--out", plain);
        assertTrue(merged.output().contains("with LORS"), merged.output());
        Cli refused = Cli.run("merge", lors, "--out", folder.resolve("none"), "--dry-run");
        assertEquals(2, refused.exitCode());
        assertTrue(refused.errors().contains("--dry-run: a decoder of queries is folded"), refused.errors());
        for (Path form : List.of(lors, plain)) {
            Path onnx = form.resolve("model.onnx");
            Cli.succeeds("export-onnx", form, "--out", onnx);
            Cli verified = Cli.succeeds("verify", "--base", lors, "--merged", plain, "--onnx", onnx, "--inputs", 3);
            assertTrue(verified.output().contains("inputs of features"), verified.output());
        }
        Path other = TinyModel.QUERY_DECODER_LORS.write(folder.resolve("other"), 8);
        assertEquals(
                4,
                Cli.run("verify", "--base", other, "--merged", plain, "--inputs", 3)
                        .exitCode());
    }

    @Test
    @DisplayName("in a decoder is no base for tasks of texts or images, which say so")
    void isNoBaseForOtherTasks() throws IOException {
        Path plain = TinyModel.QUERY_DECODER.write(folder.resolve("plain"), 7);
        Path texts = Files.writeString(folder.resolve("texts.tsv"), "text\tlabel\na\tx\nb\ty\n");
        for (String task : List.of("classification", "image-classification")) {
            Cli refused = Cli.run(
                    "train",
                    "--base",
                    plain,
                    "--method",
                    "lora",
                    "--rank",
                    2,
                    "--task",
                    task,
                    "--data",
                    texts,
                    "--eval",
                    texts,
                    "--out",
                    folder.resolve("out"));
            assertEquals(2, refused.exitCode(), refused.errors());
            assertTrue(refused.errors().contains("query_decoder"), refused.errors());
            assertTrue(Files.notExists(folder.resolve("out")));
        }
    }
}
