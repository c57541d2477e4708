package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Files whose numbers, dtypes or formats cannot be merged, from the reference cases or built here. */
@DisplayName("Numbers that cannot be end in one sentence that names the file and the cause")
class NumbersCasesTest {
    @TempDir
    private Path folder;

    @ParameterizedTest(name = "{0}")
    @CsvSource(
            delimiter = '|',
            value = {
                "quant/adapter_nan               | adapter_model.safetensors: base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight: holds 128 NaN",
                "quant/bnb_int8                  | is quantized (bitsandbytes int8",
                "quant/bnb_int8_no_config        | is quantized (bitsandbytes int8",
                "quant/bnb_nf4                   | is quantized (bitsandbytes 4-bit, nf4",
                "quant/f8_plain                  | is quantized (FP8 without a scale",
                "quant/fp16_overflow             | 639 of its 1024 merged elements are finite but larger than F16 holds",
                "quant/fp8_block_scale           | is quantized (FP8 with a scale for each block",
                "quant/fp8_block_scale_no_config | is quantized (FP8 with a scale for each block",
                "quant/gptq                      | is quantized (GPTQ",
                "reports/nan_lora                | lora_A.weight: holds 1 NaN of 64 values in the adapter",
                "reports/nan_base                | 1 of its 256 elements are NaN or infinite in the base",
                "reports/dora_zero_row           | all weights of output 3 are 0",
                "reports/gptq_base               | is quantized (GPTQ",
                "reports/bnb4_base               | is quantized (bitsandbytes 4-bit, nf4",
                "reports/int8_base               | is quantized (bitsandbytes int8",
                "reports/fp8_touched             | is quantized (stored with a scale",
                "reports/i4_dtype                | x.i4: has the unknown dtype I4",
                "reports/nul_padded              | adapter_model.safetensors: header: is followed by byte 0x00",
                "reports/dup_key                 | has a duplicate key",
                "reports/hole                    | leaves a hole before it",
                "reports/truncated               | is truncated: the file lacks 100 of the",
                "reports/mlx_adapter             | adapters.safetensors, an adapter of mlx-lm",
                "layout/adapter_mlx_file_name    | rename it to adapter_model.safetensors",
                "reports/lfs_pointer             | model.safetensors: is a pointer of Git LFS",
                "reports/bin_base                | holds its weights as pytorch_model.bin",
                "layout/base_bin_only            | holds its weights as pytorch_model.bin",
                "reports/bin_adapter             | holds adapter_model.bin, a pickle",
            })
    void refused(String name, String sentence) throws IOException {
        Path out = folder.resolve("out");
        Cli result = Cli.run("merge", cases(name, "adapter"), "--into", cases(name, "base"), "--out", out);
        assertEquals(3, result.exitCode(), result.errors());
        assertTrue(result.errors().contains(sentence), result.errors());
        assertFalse(Files.exists(out));
    }

    @ParameterizedTest(name = "{0}: {1} tensors beside the expected ones")
    @CsvSource({
        "meta_null, 0",
        "meta_empty, 0",
        "no_format_meta, 0",
        "odd_align, 1",
        "huge_header, 0",
        "future_field, 0",
        "alpha_float, 0",
        "crlf, 0",
        "crlf_bom, 0",
        "exotic_dtypes, 8",
        "odd_tensors, 5"
    })
    void merged(String name, int others) throws IOException {
        Path out = folder.resolve("out");
        Cli.succeeds(
                "merge", cases("reports/" + name, "adapter"), "--into", cases("reports/" + name, "base"), "--out", out);
        Cli diff = Cli.run(
                "diff",
                out.resolve("model.safetensors"),
                cases("reports/" + name, "expected.safetensors"),
                "--tolerance",
                "1e-6");
        String expected = others == 0 ? "the same: " : others + " missing in B";
        assertTrue(diff.output().contains(expected) && !diff.output().contains("differ by"), diff.output());
        String config = Files.readString(out.resolve("config.json"));
        assertEquals('{', config.charAt(0), "a byte order mark is not copied");
    }

    private Path cases(String name, String part) throws IOException {
        return StoredCases.at(name, folder).resolve(part);
    }

    @ParameterizedTest(name = "{0} for {1}")
    @CsvSource(
            delimiter = '|',
            value = {
                "\"num_hidden_layers\": 1 | \"num_hidden_layers\": 1000000000 | num_hidden_layers: expected at most 4096",
                "\"vocab_size\": 60       | \"vocab_size\": 2147483647        | vocab_size: expected at most",
                "\"hidden_size\": 8       | \"hidden_size\": 2147483640       | hidden_size: expected at most",
                "\"hidden_size\": 8       | \"hidden_size\": 8, \"num_labels\": 2000000000, \"architectures\": [\"BertForSequenceClassification\"] | num_labels: expected at most",
                "1e-12                    | 1e999                             | layer_norm_eps: expected a finite number, found 1e999",
                "1e-12                    | 1e300                             | layer_norm_eps: expected a number of at most 3.4e38",
            })
    @DisplayName("a config.json alone is counted in no time, or refused by field")
    void config(String right, String wrong, String sentence) throws IOException {
        String config =
                "{\"model_type\": \"bert\", \"hidden_size\": 8, \"num_hidden_layers\": 1, \"num_attention_heads\": 2,"
                        + " \"intermediate_size\": 16, \"vocab_size\": 60, \"max_position_embeddings\": 64, \"layer_norm_eps\": 1e-12}";
        Path file = folder.resolve("config.json");
        Files.writeString(file, config.replace(right, wrong), StandardCharsets.UTF_8);
        assertTimeoutPreemptively(Duration.ofSeconds(20), () -> {
            Cli result = Cli.run("count", "--method", "lora", "--rank", "4", "--config", file);
            assertEquals(3, result.exitCode(), result.errors());
            assertTrue(result.errors().contains("config.json: " + sentence), result.errors());
        });
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(
            delimiter = '|',
            value = {
                "\"r\": 2147483647                                    | r: expected at most 65536",
                "\"r\": 2, \"lora_alpha\": 1e308                      | lora_alpha: expected a number of at most 3.4e38",
                "\"r\": 2, \"lora_alpha\": 1e999                      | lora_alpha: expected a finite number, found 1e999",
                "\"r\": 2, \"lora_alpha\": NaN                        | lora_alpha: expected a finite number, found NaN",
                "\"r\": 2, \"lora_dropout\": -Infinity                | lora_dropout: expected a finite number",
                "\"r\": 2, \"rank_pattern\": {\"query\": 2147483647}  | rank_pattern: expected positive integers of at most",
                "\"r\": 2, \"alpha_pattern\": {\"query\": 1e308}      | alpha_pattern: expected a number of at most 3.4e38",
                "\"r\": 2, \"alpha_pattern\": {\"(query\": 1}         | alpha_pattern: expected regular expressions as keys",
            })
    @DisplayName("an adapter_config.json is refused by field")
    void adapterConfig(String fields, String sentence) throws IOException {
        Path base = TinyBert.write(folder.resolve("base"), 1);
        Path adapter = Files.createDirectory(folder.resolve("adapter"));
        Files.copy(base.resolve("model.safetensors"), adapter.resolve("adapter_model.safetensors"));
        Files.writeString(
                adapter.resolve("adapter_config.json"),
                "{\"peft_type\": \"LORA\", \"target_modules\": [\"query\"], " + fields + "}");
        Cli result = Cli.run("merge", adapter, "--into", base, "--out", folder.resolve("out"));
        assertEquals(3, result.exitCode(), result.errors());
        assertTrue(result.errors().contains("adapter_config.json: " + sentence), result.errors());
    }
}
