package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.gguf.GgufFile;
import dev.adapt.formats.gguf.GgufTensor;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@DisplayName("A GGUF file holds the model it was made of")
class GgufTest {
    @TempDir
    private Path folder;

    @ParameterizedTest
    @EnumSource(
            value = TinyModel.class,
            names = {"BERT", "GPT2", "LLAMA", "MISTRAL", "QWEN2", "LLAMA_YARN"})
    @DisplayName("read back, verify finds it equal to the checkpoint")
    void verified(TinyModel model) throws IOException {
        Path base = model.write(folder.resolve("base"), 3);
        Path gguf = folder.resolve("model.gguf");
        Cli.succeeds("export-gguf", base, "--out", gguf);
        assertTrue(Cli.succeeds("inspect", gguf).output().contains("token_embd.weight"));
        Cli.succeeds("verify", "--base", base, "--gguf", gguf, "--inputs", "2", "--no-reference");
    }

    @Test
    @DisplayName(
            "merged into a GGUF file or exported after the merge, the tensors are the same; the LoRA file adds the difference")
    void merged() throws IOException {
        Path base = TinyModel.LLAMA.write(folder.resolve("base"), 3);
        Path other = TinyModel.LLAMA.write(folder.resolve("other"), 4);
        Path adapter = folder.resolve("adapter");
        Cli.succeeds(
                "extract",
                "--base",
                base,
                "--from",
                other,
                "--target",
                "q_proj,k_proj,down_proj",
                "--rank",
                "3",
                "--out",
                adapter);
        Path direct = folder.resolve("direct.gguf");
        Cli.succeeds("merge", adapter, "--into", base, "--out", direct);
        Path merged = folder.resolve("merged");
        Cli.succeeds("merge", adapter, "--into", base, "--out", merged);
        Path after = folder.resolve("after.gguf");
        Cli.succeeds("export-gguf", merged, "--out", after);
        Path plain = folder.resolve("plain.gguf");
        Cli.succeeds("export-gguf", base, "--out", plain);
        Path lora = folder.resolve("lora.gguf");
        Cli.succeeds("export-gguf", adapter, "--base", base, "--out", lora);
        try (GgufFile one = GgufFile.open(direct);
                GgufFile two = GgufFile.open(after);
                GgufFile before = GgufFile.open(plain);
                GgufFile update = GgufFile.open(lora)) {
            assertEquals(two.header().tensors(), one.header().tensors());
            for (GgufTensor tensor : one.header().tensors()) {
                assertEquals(values(two, tensor), values(one, tensor), tensor.name());
            }
            requireSum(before, update, one, "blk.1.attn_q.weight");
            requireSum(before, update, one, "blk.0.ffn_down.weight");
        }
        try (var inside = Files.list(folder)) {
            assertEquals(
                    List.of(),
                    inside.filter(file -> file.toString().endsWith(".tmp")).toList());
        }
    }

    @Test
    @DisplayName("merged in one pass, it records the layout of prompts that the adapter was trained with")
    void recordsPrompts() throws IOException {
        Path base = TinyModel.LLAMA.write(folder.resolve("base"), 3);
        Path other = TinyModel.LLAMA.write(folder.resolve("other"), 4);
        Path adapter = folder.resolve("adapter");
        Cli.succeeds("extract", "--base", base, "--from", other, "--target", "q_proj", "--rank", "3", "--out", adapter);
        Path file = adapter.resolve(Adapter.FILE);
        Map<String, FloatTensor> tensors = new TreeMap<>();
        try (SafetensorsFile extracted = SafetensorsFile.open(file)) {
            for (TensorView tensor : extracted.tensors()) {
                tensors.put(tensor.name(), new FloatTensor(tensor.shape(), tensor.toFloats()));
            }
        }
        Files.delete(file);
        SafetensorsWriter.write(file, tensors, Map.of("adapt.prompt", "line-feed"));
        Path direct = folder.resolve("direct.gguf");
        Cli.succeeds("merge", adapter, "--into", base, "--out", direct);
        Path merged = folder.resolve("merged");
        Cli.succeeds("merge", adapter, "--into", base, "--out", merged);
        Path after = folder.resolve("after.gguf");
        Cli.succeeds("export-gguf", merged, "--out", after);
        try (GgufFile one = GgufFile.open(direct);
                GgufFile two = GgufFile.open(after)) {
            assertTrue(one.header().metadata().get("adapt.config").toString().contains("line-feed"));
            assertEquals(
                    two.header().metadata().get("adapt.config"),
                    one.header().metadata().get("adapt.config"));
        }
    }

    /** llama.cpp adds {@code alpha / rank · B·A}, and alpha is the rank. */
    private static void requireSum(GgufFile before, GgufFile update, GgufFile after, String name) throws IOException {
        GgufTensor weight = before.find(name).orElseThrow();
        List<Float> w = values(before, weight);
        List<Float> sum = values(after, weight);
        GgufTensor right = update.find(name + ".lora_a").orElseThrow();
        List<Float> a = values(update, right);
        List<Float> b = values(update, update.find(name + ".lora_b").orElseThrow());
        int rank = (int) right.shape().dim(0);
        int in = (int) right.shape().dim(1);
        for (int i = 0; i < w.size(); i++) {
            double added = 0;
            for (int k = 0; k < rank; k++) {
                added += (double) b.get(i / in * rank + k) * a.get(k * in + i % in);
            }
            assertEquals(sum.get(i), w.get(i) + added, 1e-5, name);
        }
    }

    private static List<Float> values(GgufFile file, GgufTensor tensor) throws IOException {
        float[] values = new float[(int) tensor.shape().elements()];
        file.read(file.find(tensor.name()).orElseThrow(), 0, values, values.length);
        List<Float> boxed = new ArrayList<>();
        for (float value : values) {
            boxed.add(value);
        }
        return boxed;
    }

    @Test
    @DisplayName("what llama.cpp cannot compute is refused by name, and nothing is left behind")
    void refused() throws IOException {
        Path base = TinyModel.GPT2_SCALED_BY_LAYER.write(folder.resolve("base"), 3);
        Path gguf = folder.resolve("model.gguf");
        Cli refused = Cli.run("export-gguf", base, "--out", gguf);
        assertEquals(3, refused.exitCode(), refused.errors());
        assertTrue(refused.errors().contains("scale_attn_by_inverse_layer_idx"), refused.errors());
        assertFalse(Files.exists(gguf));
        try (Stream<Path> inside = Files.list(folder)) {
            assertEquals(List.of(base), inside.toList());
        }
    }
}
