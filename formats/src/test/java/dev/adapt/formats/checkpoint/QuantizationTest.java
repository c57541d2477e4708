package dev.adapt.formats.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsHeader;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorSpec;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("What a checkpoint's files are, told without a config.json")
class QuantizationTest {
    @TempDir
    private Path folder;

    @ParameterizedTest(name = "{0} is {1}")
    @CsvSource(
            delimiter = '|',
            value = {
                "q.weight I8 4,4; q.SCB F32 4                               | bitsandbytes int8: I8 beside q.SCB          | false | true",
                "q.weight I8 4,4; q.weight_SCB F32 4                        | bitsandbytes int8: I8 beside q.weight_SCB   | false | true",
                "q.weight U8 8,1; q.weight.absmax F32 2                     | bitsandbytes 4-bit: U8 beside               | true  | true",
                "q.weight U8 8,1; q.weight.absmax F32 2; q.weight.quant_state.bitsandbytes__nf4 U8 9 | bitsandbytes 4-bit, nf4 | true | true",
                "q.weight F8_E4M3 4,4; q.weight_scale_inv F32 1,1           | FP8 with a scale for each block: F8_E4M3    | false | true",
                "q.weight F8_E4M3 4,4; q.weight_scale F32                   | stored with a scale                         | false | true",
                "q.weight F8_E5M2 4,4                                       | FP8 without a scale: F8_E5M2                | false | false",
                "q.weight U32 4,1; q.scales F16 4,1; q.biases F16 4,1       | MLX's groups with scales: U32 beside q.scales | true | true",
            })
    @DisplayName("by the tensors beside a weight")
    void beside(String tensors, String scheme, boolean packed, boolean scaled) throws IOException {
        try (Checkpoint checkpoint = checkpoint(tensors)) {
            Quantization found =
                    Quantization.of(checkpoint.tensors(), "q.weight").orElseThrow();
            assertTrue(found.scheme().startsWith(scheme), found.scheme());
            assertEquals(packed, found.packed());
            assertEquals(scaled, found.scaled());
            assertTrue(found.refusal(folder, "q.weight").getMessage().contains("take the unquantized original"));
        }
    }

    @ParameterizedTest(name = "{0} is {1}")
    @CsvSource(
            delimiter = '|',
            value = {
                "m.q.qweight I32 4,32; m.q.scales F16 1,32; m.q.qzeros I32 1,4; m.q.g_idx I32 32 | GPTQ: q.qweight in I32, and no weight",
                "m.q.qweight I32 4,32; m.q.scales F16 1,32; m.q.qzeros I32 1,4                   | GPTQ: q.qweight in I32",
                "m.q.qweight I32 32,4; m.q.scales F16 1,32; m.q.qzeros I32 1,4                   | AWQ: q.qweight in I32",
                "m.q.weight_packed I32 4,4; m.q.weight_scale F16 4                               | packed integers of compressed-tensors",
                "m.q.W_q U8 4,4                                                                  | HQQ: q.W_q in U8",
                "m.q_blocks U8 4,4; m.q_scales U8 4                                              | MXFP4 in blocks",
            })
    @DisplayName("by what stands in a weight's place")
    void instead(String tensors, String scheme) throws IOException {
        try (Checkpoint checkpoint = checkpoint(tensors)) {
            Map<String, Quantization> packed = Quantization.packed(checkpoint.tensors());
            assertEquals(List.of("m.q"), List.copyOf(packed.keySet()));
            assertTrue(
                    packed.get("m.q").scheme().startsWith(scheme),
                    packed.get("m.q").scheme());
        }
    }

    @Test
    @DisplayName("floats are not quantized, whatever lies beside them")
    void plain() throws IOException {
        try (Checkpoint checkpoint = checkpoint("q.weight BF16 4,4; q.weight_scale F32 1; x.weight I8 2,2")) {
            assertTrue(Quantization.of(checkpoint.tensors(), "q.weight").isEmpty());
            assertTrue(Quantization.of(checkpoint.tensors(), "x.weight").isEmpty());
            assertTrue(Quantization.of(checkpoint.tensors(), "y.weight").isEmpty());
            assertTrue(Quantization.packed(checkpoint.tensors()).isEmpty());
        }
    }

    @ParameterizedTest(name = "{0}: {1}")
    @CsvSource(
            delimiter = '|',
            value = {
                "model.safetensors | version https://git-lfs.github.com/spec/v1 | model.safetensors: is a pointer of Git LFS",
                "config.json       | version https://git-lfs.github.com/spec/v1 | config.json: is a pointer of Git LFS",
                "pytorch_model.bin | PK                                         | holds its weights as pytorch_model.bin, a pickle",
                "model.pt          | PK                                         | holds its weights as model.pt, a pickle",
            })
    @DisplayName("files that are not what their name says")
    void otherFiles(String name, String text, String message) throws IOException {
        if (name.equals("config.json")) {
            checkpoint("q.weight F32 2").close();
        }
        Files.writeString(folder.resolve(name), text);
        Exception thrown =
                assertThrows(Exception.class, () -> Checkpoint.open(folder).close(), "opened");
        assertTrue(thrown.getMessage().contains(message), thrown.getMessage());
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '\0',
            value = {
                "{\"num_hidden_layers\": 1000000000}                   | num_hidden_layers: declares 1000000000, and the checkpoint holds only 2 tensors",
                "{\"n_layer\": 3}                                      | n_layer: declares 3, and the checkpoint holds only 2 tensors",
                "{\"num_stages\": 1e300}                               | num_stages: declares 1.0E300",
                "{\"text_config\": {\"num_hidden_layers\": 40}}        | num_hidden_layers: declares 40",
                "{\"hidden_size\": 2147483647}                         | hidden_size: declares 2147483647, and the checkpoint holds only 2 tensors of 24",
                "{\"vocab_size\": 25}                                  | vocab_size: declares 25",
                "{\"layer_norm_eps\": 1e999}                           | layer_norm_eps: expected a finite number, found 1e999",
                "{\"rope_theta\": NaN}                                 | rope_theta: expected a finite number, found NaN",
                "{\"a\": {\"b\": [1, -Infinity]}}                      | b: expected a finite number, found -Infinity",
            })
    @DisplayName("a config.json whose numbers cannot be")
    void impossibleNumbers(String config, String message) throws IOException {
        Files.writeString(folder.resolve("config.json"), config);
        FormatException thrown = assertThrows(
                FormatException.class,
                () -> checkpoint("q.weight F32 4,4; k.weight F32 2,4").close());
        assertTrue(thrown.getMessage().contains("config.json: " + message), thrown.getMessage());
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '\0',
            value = {
                "{\"num_hidden_layers\": 2, \"hidden_size\": 24}",
                "{\"num_hidden_layers\": 12, \"num_hidden_groups\": 1}", // ALBERT's layers share their tensors
                "{\"max_position_embeddings\": 10485760, \"num_hidden_layers\": null}",
            })
    @DisplayName("sizes that the checkpoint can have")
    void possibleNumbers(String config) throws IOException {
        Files.writeString(folder.resolve("config.json"), config);
        checkpoint("q.weight F32 4,4; k.weight F32 2,4").close();
    }

    @Test
    @DisplayName("a byte order mark and carriage returns are passed over")
    void byteOrderMark() throws IOException {
        Files.write(
                folder.resolve("config.json"),
                "\ufeff{\r\n\"model_type\": \"bert\"\r\n}\r\n".getBytes(StandardCharsets.UTF_8));
        try (Checkpoint checkpoint = checkpoint("q.weight F32 2")) {
            assertEquals("bert", checkpoint.requireConfig().string("model_type").orElseThrow());
            assertFalse(checkpoint.tensors().isEmpty());
        }
    }

    /** A checkpoint of zeros: {@code NAME DTYPE DIM,DIM; …}. */
    private Checkpoint checkpoint(String tensors) throws IOException {
        List<TensorSpec> specs = Arrays.stream(tensors.split(";"))
                .map(each -> each.strip().split(" "))
                .map(parts -> new TensorSpec(
                        parts[0],
                        Dtype.valueOf(parts[1]),
                        parts.length < 3
                                ? Shape.of()
                                : Shape.of(Arrays.stream(parts[2].split(","))
                                        .mapToLong(Long::parseLong)
                                        .toArray())))
                .toList();
        SafetensorsWriter.write(
                folder.resolve(Checkpoint.SINGLE),
                SafetensorsHeader.of(specs, Map.of()),
                info -> MemorySegment.ofArray(new byte[Math.toIntExact(info.bytes())]));
        return Checkpoint.open(folder);
    }
}
