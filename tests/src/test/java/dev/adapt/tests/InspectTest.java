package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
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
