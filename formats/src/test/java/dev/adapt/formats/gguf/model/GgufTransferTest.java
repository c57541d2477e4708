package dev.adapt.formats.gguf.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.gguf.GgmlType;
import dev.adapt.formats.gguf.GgufFile;
import dev.adapt.formats.gguf.GgufTensor;
import dev.adapt.formats.gguf.Q8Blocks;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What becomes of values on the way into a GGUF file and back. */
final class GgufTransferTest {
    @TempDir
    Path folder;

    private final Random random = new Random(7);

    private void add(Map<String, FloatTensor> tensors, String name, long... dims) {
        Shape shape = Shape.of(dims);
        float[] values = new float[(int) shape.elements()];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        tensors.put(name, new FloatTensor(shape, values));
    }

    private Path llama(Dtype dtype, int experts) throws IOException {
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        add(tensors, "model.embed_tokens.weight", 40, 32);
        add(tensors, "lm_head.weight", 40, 32);
        add(tensors, "model.norm.weight", 32);
        for (int layer = 0; layer < 2; layer++) {
            String prefix = "model.layers." + layer + ".";
            add(tensors, prefix + "input_layernorm.weight", 32);
            add(tensors, prefix + "post_attention_layernorm.weight", 32);
            add(tensors, prefix + "self_attn.q_proj.weight", 32, 32);
            add(tensors, prefix + "self_attn.q_proj.bias", 32);
            add(tensors, prefix + "self_attn.k_proj.weight", 16, 32);
            add(tensors, prefix + "self_attn.v_proj.weight", 16, 32);
            add(tensors, prefix + "self_attn.o_proj.weight", 32, 32);
            String mlp = experts == 0 ? "mlp." : "block_sparse_moe.";
            if (experts > 0) {
                add(tensors, prefix + mlp + "gate.weight", experts, 32);
            }
            for (int expert = 0; expert < Math.max(1, experts); expert++) {
                String module = experts == 0 ? mlp : mlp + "experts." + expert + ".";
                add(tensors, prefix + module + (experts == 0 ? "gate_proj" : "w1") + ".weight", 48, 32);
                add(tensors, prefix + module + (experts == 0 ? "up_proj" : "w3") + ".weight", 48, 32);
                add(tensors, prefix + module + (experts == 0 ? "down_proj" : "w2") + ".weight", 32, 48);
            }
        }
        Path base = Files.createDirectory(folder.resolve("base"));
        SafetensorsWriter.write(base.resolve(Checkpoint.SINGLE), tensors, dtype, Map.of());
        Map<String, Object> config = new LinkedHashMap<>(Map.of(
                "model_type", experts == 0 ? "llama" : "mixtral",
                "num_hidden_layers", 2,
                "hidden_size", 32,
                "intermediate_size", 48,
                "num_attention_heads", 4,
                "num_key_value_heads", 2,
                "max_position_embeddings", 64,
                "rms_norm_eps", 1e-5,
                "tie_word_embeddings", false));
        if (experts > 0) {
            config.put("num_local_experts", experts);
            config.put("num_experts_per_tok", 2);
        }
        new JsonMapper().writeValue(base.resolve(Checkpoint.CONFIG).toFile(), config);
        return base;
    }

    private GgufExport export(Path base, Optional<GgmlType> type, Path out) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            return GgufExport.run(
                    checkpoint, new GgufExport.Options(type, Optional.empty(), Optional.empty()), out, Outputs.fresh());
        }
    }

    @ParameterizedTest
    @CsvSource({"F32,0", "F16,0", "BF16,0", "F32,4", "BF16,4"})
    void aCheckpointComesBackBitForBit(Dtype dtype, int experts) throws IOException {
        Path base = llama(dtype, experts);
        Path gguf = folder.resolve("model.gguf");
        export(base, Optional.empty(), gguf);
        GgufImport.run(gguf, folder.resolve("back"), Outputs.fresh());
        try (Checkpoint before = Checkpoint.open(base);
                Checkpoint after = Checkpoint.open(folder.resolve("back"))) {
            assertEquals(before.tensors().keySet(), after.tensors().keySet());
            for (TensorView tensor : before.tensors().values()) {
                assertEquals(tensor.sha256(), after.tensors().get(tensor.name()).sha256(), tensor.name());
            }
            assertEquals(before.requireConfig().json(), after.requireConfig().json());
        }
    }

    @ParameterizedTest
    @CsvSource({"F16,larger than F16 can hold", "Q8_0,which Q8_0 cannot hold"})
    void aValueThatATypeCannotHoldIsNamedWithItsFileAndTensor(GgmlType type, String sentence) throws IOException {
        Path base = llama(Dtype.F32, 0);
        Path file = base.resolve(Checkpoint.SINGLE);
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            checkpoint
                    .tensors()
                    .forEach((name, tensor) -> tensors.put(name, new FloatTensor(tensor.shape(), tensor.toFloats())));
        }
        String name = "model.layers.1.self_attn.o_proj.weight";
        tensors.get(name).values()[5] = 3e38f;
        SafetensorsWriter.write(file, tensors, Dtype.F32, Map.of());
        Path gguf = folder.resolve("model.gguf");
        FormatException thrown = assertThrows(FormatException.class, () -> export(base, Optional.of(type), gguf));
        String message = String.valueOf(thrown.getMessage());
        assertTrue(message.startsWith(file + ": " + name + ": holds ") && message.contains(sentence), message);
        assertFalse(Files.exists(gguf));
    }

    @Test
    void aFileThatDeclaresMoreThanItHoldsIsNotImported() throws IOException {
        Path base = llama(Dtype.F32, 0);
        Path gguf = folder.resolve("model.gguf");
        export(base, Optional.empty(), gguf);
        String bytes = Files.readString(gguf, StandardCharsets.ISO_8859_1);
        String config = Files.readString(base.resolve(Checkpoint.CONFIG));
        String larger = config.replace("\"hidden_size\":32", "\"hidden_size\":9000000")
                .replace("\"tie_word_embeddings\":false", "");
        larger = larger.replace(",,", ",").replace("{,", "{").replace(",}", "}");
        String padded = larger + " ".repeat(config.length() - larger.length());
        Files.writeString(gguf, bytes.replace(config, padded), StandardCharsets.ISO_8859_1);
        FormatException thrown = assertThrows(
                FormatException.class, () -> GgufImport.run(gguf, folder.resolve("back"), Outputs.fresh()));
        assertTrue(thrown.getMessage().startsWith(gguf + ": hidden_size: declares "), thrown::getMessage);
        assertFalse(Files.exists(folder.resolve("back")));
    }

    @Test
    void queriesAndKeysAreInterleavedHeadByHead() throws IOException {
        Path base = llama(Dtype.F32, 0);
        Path gguf = folder.resolve("model.gguf");
        export(base, Optional.empty(), gguf);
        try (Checkpoint checkpoint = Checkpoint.open(base);
                GgufFile file = GgufFile.open(gguf)) {
            GgufTensor key = file.find("blk.1.attn_k.weight").orElseThrow();
            float[] written = new float[16 * 32];
            file.read(key, 0, written, written.length);
            float[] stored = checkpoint
                    .tensors()
                    .get("model.layers.1.self_attn.k_proj.weight")
                    .toFloats();
            // 2 heads of 8 rows: row 1 of head 1 in the file is element 0 + 4 of that head
            for (int c = 0; c < 32; c++) {
                assertEquals(stored[(8 + 4) * 32 + c], written[(8 + 1) * 32 + c]);
            }
        }
    }

    @Test
    void thePermutationHasItsInverse() {
        for (long size : new long[] {2, 8, 64, 128}) {
            for (long row = 0; row < 5 * size; row++) {
                assertEquals(row, GgufSource.target(GgufSource.source(row, size), size));
                assertEquals(row, GgufSource.source(GgufSource.target(row, size), size));
            }
        }
    }

    @Test
    void q8BlocksAreThoseOfTheDefinition() {
        for (int trial = 0; trial < 2000; trial++) {
            float[] values = new float[64];
            float size = (float) Math.exp(3 * random.nextGaussian());
            for (int i = 0; i < values.length; i++) {
                values[i] = trial % 50 == 0 ? 0 : size * (float) random.nextGaussian();
            }
            MemorySegment bytes = MemorySegment.ofArray(new byte[68]);
            assertTrue(new Q8Blocks().encode(values, 64, bytes));
            float[] back = new float[64];
            Q8Blocks.decode(bytes, back, 64);
            for (int block = 0; block < 2; block++) {
                requireBlock(values, block, bytes, back);
            }
        }
    }

    private static void requireBlock(float[] values, int block, MemorySegment bytes, float[] back) {
        float most = 0;
        for (int i = 0; i < 32; i++) {
            most = Math.max(most, Math.abs(values[32 * block + i]));
        }
        float scale = most / 127;
        short half = bytes.get(ValueLayout.JAVA_SHORT_UNALIGNED, 34L * block);
        assertEquals(Float.floatToFloat16(scale), half);
        for (int i = 0; i < 32; i++) {
            float quotient = scale == 0 ? 0 : values[32 * block + i] * (1 / scale);
            long expected = Math.round(Math.abs((double) quotient)) * (quotient < 0 ? -1 : 1);
            byte stored = bytes.get(ValueLayout.JAVA_BYTE, 34L * block + 2 + i);
            assertEquals(expected, stored);
            assertEquals(Float.float16ToFloat(half) * stored, back[32 * block + i]);
        }
    }

    @Test
    void q8FilesAreReadBackAsTheirBlocksSay() throws IOException {
        Path base = llama(Dtype.F32, 0);
        Path gguf = folder.resolve("model.gguf");
        export(base, Optional.of(GgmlType.Q8_0), gguf);
        try (GgufFile file = GgufFile.open(gguf);
                Checkpoint checkpoint = Checkpoint.open(base)) {
            // 48 columns are no whole blocks
            assertEquals(
                    GgmlType.F16,
                    file.find("blk.0.ffn_down.weight").orElseThrow().type());
            assertEquals(
                    GgmlType.F32,
                    file.find("blk.0.attn_norm.weight").orElseThrow().type());
            GgufTensor tensor = file.find("blk.0.ffn_up.weight").orElseThrow();
            assertEquals(GgmlType.Q8_0, tensor.type());
            float[] values = checkpoint
                    .tensors()
                    .get("model.layers.0.mlp.up_proj.weight")
                    .toFloats();
            MemorySegment bytes = MemorySegment.ofArray(new byte[(int) tensor.bytes()]);
            new Q8Blocks().encode(values, values.length, bytes);
            float[] expected = new float[values.length];
            Q8Blocks.decode(bytes, expected, expected.length);
            float[] found = new float[values.length];
            file.read(tensor, 0, found, found.length);
            assertArrayEquals(expected, found);
        }
    }

    @Test
    void infinityIsNotQuantized() {
        float[] values = new float[32];
        values[3] = Float.POSITIVE_INFINITY;
        assertFalse(new Q8Blocks().encode(values, 32, MemorySegment.ofArray(new byte[34])));
        values[3] = Float.NaN;
        assertFalse(new Q8Blocks().encode(values, 32, MemorySegment.ofArray(new byte[34])));
    }
}
