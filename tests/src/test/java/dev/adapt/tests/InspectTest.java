package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.onnx.OnnxSummary;
import dev.adapt.formats.onnx.proto.GraphProto;
import dev.adapt.formats.onnx.proto.ModelProto;
import dev.adapt.formats.onnx.proto.NodeProto;
import dev.adapt.formats.onnx.proto.TensorProto;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("What inspect and diff say")
class InspectTest {
    private static final String KEY = "base_model.model.layer.";

    @TempDir
    private Path folder;

    @ParameterizedTest(name = "{0}, {1}: {2}")
    @CsvSource({"false, false, LoRA", "true, false, rsLoRA", "false, true, DoRA", "true, true, DoRA with rsLoRA's scale"
    })
    @DisplayName("an adapter's method is called what its paper calls it")
    void method(boolean stabilised, boolean dora, String name) throws IOException {
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        tensors.put(KEY + "lora_A.weight", new FloatTensor(Shape.of(1, 4), new float[4]));
        tensors.put(KEY + "lora_B.weight", new FloatTensor(Shape.of(4, 1), new float[4]));
        if (dora) {
            tensors.put(KEY + "lora_magnitude_vector", new FloatTensor(Shape.of(4), new float[4]));
        }
        SafetensorsWriter.write(folder.resolve(Adapter.FILE), tensors, Map.of());
        Files.writeString(
                folder.resolve(AdapterConfig.FILE),
                "{\"peft_type\": \"LORA\", \"r\": 1, \"use_rslora\": %s, \"use_dora\": %s}"
                        .formatted(stabilised, dora));
        Cli inspected = Cli.run("inspect", folder);
        assertEquals(0, inspected.exitCode(), inspected.errors());
        assertTrue(
                inspected.output().lines().anyMatch(line -> line.matches("method +" + name + " *")),
                inspected.output());
    }

    @Test
    @DisplayName("a folder with a file alone beside shards is read with a note")
    void notes() throws IOException {
        Path base = TinyModel.BERT.write(folder.resolve("base"), 1);
        assertEquals("", notesOnInspecting(base));
        Files.writeString(base.resolve(Checkpoint.INDEX), "{}");
        String notes = notesOnInspecting(base);
        assertTrue(notes.startsWith("adapt: note: ") && notes.contains("the single file is read"), notes);
    }

    @Test
    @DisplayName("a checkpoint: class, layers, heads and labels, tensors folded by layer unless --tensors is given")
    void checkpoint() throws IOException {
        Path base = TinyModel.BERT.write(folder.resolve("base"), 1);
        String text = inspect(base);
        for (String line : List.of(
                "model type +bert",
                "class +Bert\\w+",
                "layers +2",
                "attention heads +\\d+",
                ".*encoder\\.layer\\.\\{0-1}\\.attention\\.self\\.query\\.weight +\\[\\d+, \\d+] +F32 .*x 2")) {
            assertTrue(text.lines().anyMatch(own -> own.matches(line)), line + " in " + text);
        }
        String each = Cli.succeeds("inspect", base, "--tensors").output();
        assertTrue(each.contains("encoder.layer.1.attention.self.query.weight ") && !each.contains("{0-1}"), each);
        Cli both = Cli.run("inspect", base, "--tensors", "--json");
        assertEquals(2, both.exitCode(), both.errors());
    }

    @Test
    @DisplayName("tensors of other shapes are folded by themselves, and gaps in the numbers are shown")
    void folded() throws IOException {
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        for (int layer : List.of(0, 1, 2, 5)) {
            tensors.put("h." + layer + ".w", new FloatTensor(Shape.of(2), new float[2]));
        }
        tensors.put("h.3.w", new FloatTensor(Shape.of(3), new float[3]));
        for (String name :
                List.of("e.0.0", "e.0.1", "e.1.0", "f.0.0", "f.0.1", "f.1.0", "f.1.1", "z.001.w", "z.002.w")) {
            tensors.put(name, new FloatTensor(Shape.of(1), new float[1]));
        }
        Path file = folder.resolve("folded.safetensors");
        SafetensorsWriter.write(file, tensors, Map.of());
        String text = inspect(file);
        assertTrue(text.contains("h.{0-2,5}.w ") && text.contains("h.3.w "), text);
        assertTrue(text.contains("e.0.1") && text.contains("f.{0-1}.{0-1}"), text);
        assertTrue(text.contains("z.001.w ") && text.contains("z.002.w "), "no range has such names: " + text);
    }

    @Test
    @DisplayName("an ONNX file with a name twice: the names are not folded into a range of which one is missing")
    void namesTwice() throws IOException {
        GraphProto.Builder graph =
                GraphProto.newBuilder().addNode(NodeProto.newBuilder().setOpType("Identity"));
        for (String name : List.of("w.0.0", "w.0.1", "w.1.0", "w.1.0")) {
            graph.addInitializer(TensorProto.newBuilder().setName(name).addDims(1));
        }
        Path file = folder.resolve("twice.onnx");
        Files.write(file, ModelProto.newBuilder().setGraph(graph).build().toByteArray());
        String text = inspect(file);
        assertTrue(text.contains("w.0.1 ") && !text.contains("{"), text);
    }

    @Test
    @DisplayName("--json: where a command fails, one object with the error; and a file of JSON replaces no input")
    void jsonOfFailures() throws IOException {
        for (String command : List.of("inspect", "count")) {
            Cli failed = Cli.run(command, folder.resolve("nowhere"), "--json");
            assertEquals(3, failed.exitCode(), failed.errors());
            JsonNode json = new JsonMapper().readTree(failed.output());
            assertEquals(3, json.path("exit_code").asInt());
            assertEquals(
                    "adapt: " + json.path("error").asText(), failed.errors().strip());
        }
        Path base = TinyModel.BERT.write(folder.resolve("base"), 1);
        Path config = base.resolve("config.json");
        byte[] before = Files.readAllBytes(config);
        Cli refused =
                Cli.run("export-onnx", base, "--out", folder.resolve("model.onnx"), "--overwrite", "--json", config);
        assertEquals(2, refused.exitCode(), refused.errors());
        assertTrue(refused.errors().contains("config.json is an input of this command"), refused.errors());
        assertArrayEquals(before, Files.readAllBytes(config));
        Cli exists = Cli.run("inspect", base, "--json", Files.writeString(folder.resolve("have.json"), "{}"));
        assertEquals(2, exists.exitCode(), exists.errors());
        assertTrue(exists.errors().endsWith("have.json: exists already; give another name\n"), exists.errors());
    }

    @Test
    @DisplayName("an ONNX file: producer, opset, inputs, outputs and initializers; its external data is not read")
    void onnx() throws IOException {
        Path base = TinyModel.BERT.write(folder.resolve("base"), 1);
        Path model = base.resolve("model.onnx");
        Cli.succeeds("export-onnx", base, "--out", model);
        Files.delete(base.resolve("model.safetensors"));
        String text = inspect(model);
        for (String line : List.of(
                "producer +adapt.*",
                "opsets +.*ai\\.onnx \\d+.*",
                "external data +model\\.safetensors",
                "input +input_ids +int64 +\\[batch.*",
                ".*layer\\.\\{0-1}\\..* float, external .*x 2")) {
            assertTrue(text.lines().anyMatch(own -> own.matches(line)), line + " in " + text);
        }
        OnnxSummary summary = OnnxSummary.of(model);
        assertEquals(List.of("model.safetensors"), summary.files());
        assertTrue(summary.parameters() > 1000, "" + summary.parameters());
        Path cut = folder.resolve("cut.onnx");
        Files.write(cut, Arrays.copyOf(Files.readAllBytes(model), 100));
        Cli refused = Cli.run("inspect", cut);
        assertEquals(3, refused.exitCode(), refused.errors());
        assertTrue(refused.errors().contains("cut.onnx: is truncated or not an ONNX model"), refused.errors());
    }

    @Test
    @DisplayName("an ONNX file with an impossible shape is refused in a sentence")
    void impossibleOnnx() throws IOException {
        GraphProto.Builder graph =
                GraphProto.newBuilder().addNode(NodeProto.newBuilder().setOpType("Identity"));
        graph.addInitializer(
                TensorProto.newBuilder().setName("w").addDims(1L << 40).addDims(1L << 40));
        Path file = folder.resolve("impossible.onnx");
        Files.write(file, ModelProto.newBuilder().setGraph(graph).build().toByteArray());
        Cli refused = Cli.run("inspect", file);
        assertEquals(3, refused.exitCode(), refused.errors());
        assertTrue(refused.errors().contains("w: has an impossible shape"), refused.errors());
    }

    @Test
    @DisplayName("a GGUF file: architecture and types of tensors, folded by layer")
    void gguf() throws IOException {
        Path base = TinyModel.LLAMA.write(folder.resolve("base"), 1);
        Path file = folder.resolve("model.gguf");
        Cli.succeeds("export-gguf", base, "--out", file, "--dtype", "q8_0");
        String text = inspect(file);
        for (String line :
                List.of("architecture +llama", "tensor types +\\d+ .*F32.*", "blk\\.\\{0-1}\\.attn_q\\.weight .*x 2")) {
            assertTrue(text.lines().anyMatch(own -> own.matches(line)), line + " in " + text);
        }
    }

    private static String inspect(Path path) {
        return Cli.succeeds("inspect", path).output();
    }

    private static String notesOnInspecting(Path base) {
        PrintStream err = System.err;
        ByteArrayOutputStream notes = new ByteArrayOutputStream();
        try {
            System.setErr(new PrintStream(notes, true, StandardCharsets.UTF_8));
            assertEquals(0, Cli.run("inspect", base).exitCode());
            return notes.toString(StandardCharsets.UTF_8);
        } finally {
            System.setErr(err);
        }
    }

    @Test
    @DisplayName("two checkpoints are the same, or differ in values, or in what one of them lacks")
    void diff() throws IOException {
        FloatTensor one = new FloatTensor(Shape.of(2), new float[] {1, 2});
        FloatTensor near = new FloatTensor(Shape.of(2), new float[] {1, 2.0000002f});
        Path a = write("a", Map.of("x", one, "y", one));
        assertDiff(0, "the same: 2 tensors, 2 identical", a, write("same", Map.of("x", one, "y", one)));
        Path other = write("other", Map.of("x", one, "y", near));
        assertDiff(4, "different: 2 tensors, 1 identical, 1 differ by at most 2.38e-07", a, other);
        assertDiff(0, "the same: 2 tensors, 1 identical, 1 differ by at most", a, other, "--tolerance", "1e-6");
        Path lacking = write("lacking", Map.of("x", one));
        assertDiff(4, "different: 2 tensors, 1 identical, 1 missing in B", a, lacking);
        assertDiff(4, "different: 2 tensors, 1 identical, 1 missing in A", lacking, a);
        Cli nothing = Cli.run("diff", a, folder.resolve("nothing.safetensors"));
        assertEquals(3, nothing.exitCode(), nothing.errors());
        assertEquals(2, Cli.run("diff", a, other, "--tolerance", "-1").exitCode());
    }

    private static void assertDiff(int exitCode, String summary, Object... args) {
        Object[] words = new Object[args.length + 1];
        words[0] = "diff";
        System.arraycopy(args, 0, words, 1, args.length);
        Cli compared = Cli.run(words);
        assertEquals(exitCode, compared.exitCode(), compared.output() + compared.errors());
        assertTrue(compared.output().contains(summary), compared.output());
    }

    private Path write(String name, Map<String, FloatTensor> tensors) throws IOException {
        Path file = folder.resolve(name + ".safetensors");
        SafetensorsWriter.write(file, tensors, Map.of());
        return file;
    }
}
