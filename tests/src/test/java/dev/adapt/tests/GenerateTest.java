package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.generate.Decoder;
import dev.adapt.formats.generate.Generation;
import dev.adapt.formats.generate.Sampler;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.OnnxPrecision;
import dev.adapt.formats.onnx.export.OnnxExport;
import dev.adapt.formats.onnx.export.OnnxExport.Weights;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.train.device.Devices;
import dev.adapt.train.djl.DjlDecoder;
import dev.adapt.train.tokenizer.TextCodec;
import dev.adapt.verify.runner.Device;
import dev.adapt.verify.runner.OnnxRunner;
import dev.adapt.verify.runner.ReferenceDecoder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@DisplayName("The same seed gives the same text on DJL, on ONNX Runtime and in float64, with and without the cache")
class GenerateTest {
    private static final long[] PROMPT = {5, 17, 3, 29};

    /** Longer than the tiny Mistral's window. */
    private static final int MOST = 10;

    @TempDir
    private Path folder;

    private static long[] run(Sampler sampler, Decoder decoder) {
        try (decoder) {
            return new Generation(sampler, MOST, Set.of()).run(decoder, PROMPT, token -> {});
        }
    }

    private static long[] onDjl(Sampler sampler, Model model, boolean cached) {
        return run(sampler, DjlDecoder.open(model, Devices.CPU, cached));
    }

    private static long[] onOnnx(Sampler sampler, Path file, boolean cached) throws IOException {
        try (OnnxRunner runner = OnnxRunner.open(file, "logits", Device.CPU)) {
            return run(sampler, runner.decoder(cached));
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"GPT2", "LLAMA", "MISTRAL", "QWEN2"})
    void enginesGiveTheSameText(TinyModel tiny) throws IOException {
        Path home = tiny.write(folder, 21);
        Path past = home.resolve("past.onnx");
        Path plain = home.resolve("plain.onnx");
        try (Checkpoint checkpoint = Checkpoint.open(home)) {
            Model model = Model.of(checkpoint);
            OnnxExport.run(model, past, new OnnxExport.Options(Weights.LINKED, OnnxPrecision.FP32, false, true));
            OnnxExport.run(model, plain, Weights.LINKED);
            for (Sampler sampler : List.of(Sampler.GREEDY, new Sampler(1, 0, 1, 7), new Sampler(1.5, 20, 0.9, 8))) {
                long[] expected = run(sampler, new ReferenceDecoder(model, true));
                assertArrayEquals(expected, run(sampler, new ReferenceDecoder(model, false)), "float64, no cache");
                assertArrayEquals(expected, onDjl(sampler, model, true), "DJL");
                assertArrayEquals(expected, onDjl(sampler, model, false), "DJL, no cache");
                assertArrayEquals(expected, onOnnx(sampler, past, true), "ONNX Runtime");
                assertArrayEquals(expected, onOnnx(sampler, past, false), "ONNX Runtime, no cache");
                assertArrayEquals(expected, onOnnx(sampler, plain, false), "ONNX Runtime, without past");
            }
        }
    }

    /** Tokens fed one by one, two by two, and all at once lead to the same logits. */
    @ParameterizedTest
    @EnumSource(names = {"GPT2", "LLAMA", "MISTRAL", "QWEN2"})
    void theCacheChangesNoLogit(TinyModel tiny) throws IOException {
        Path home = tiny.write(folder, 22);
        Path past = home.resolve("past.onnx");
        long[] text = new Random(1).longs(12, 0, 40).toArray();
        try (Checkpoint checkpoint = Checkpoint.open(home)) {
            Model model = Model.of(checkpoint);
            OnnxExport.run(model, past, new OnnxExport.Options(Weights.LINKED, OnnxPrecision.FP32, false, true));
            float[] expected;
            try (Decoder whole = new ReferenceDecoder(model, false)) {
                expected = whole.append(text);
            }
            for (int step : new int[] {1, 2, 12}) {
                assertLogits(expected, new ReferenceDecoder(model, true), text, step);
                assertLogits(expected, DjlDecoder.open(model, Devices.CPU, true), text, step);
                try (OnnxRunner runner = OnnxRunner.open(past, "logits", Device.CPU)) {
                    assertLogits(expected, runner.decoder(true), text, step);
                }
            }
        }
    }

    private static void assertLogits(float[] expected, Decoder decoder, long[] text, int step) {
        try (decoder) {
            float[] found = {};
            for (int from = 0; from < text.length; from += step) {
                found = decoder.append(Arrays.copyOfRange(text, from, from + step));
            }
            assertArrayEquals(expected, found, 1e-5f);
        }
    }

    @Test
    void adaptedUnmergedMergedAndExportedModelsSayTheSame() throws IOException {
        Path base = TinyModel.LLAMA.write(folder.resolve("base"), 23);
        Path lora = Files.createDirectory(folder.resolve("lora"));
        Path merged = folder.resolve("merged");
        Sampler sampler = new Sampler(1, 0, 1, 5);
        long[] expected;
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            BoundAdapter adapter = adapter(checkpoint);
            adapter.write(lora, List.of("q_proj", "up_proj"), base);
            Model unmerged = Model.of(checkpoint, adapter);
            expected = run(sampler, new ReferenceDecoder(unmerged, true));
            assertArrayEquals(expected, onDjl(sampler, unmerged, true));
            Path beside = base.resolve("unmerged.onnx");
            OnnxExport.run(unmerged, beside, new OnnxExport.Options(Weights.LINKED, OnnxPrecision.FP32, false, true));
            assertArrayEquals(expected, onOnnx(sampler, beside, true));
            long[] plain = run(sampler, new ReferenceDecoder(Model.of(checkpoint), true));
            assertTrue(!Arrays.equals(expected, plain), "the adapter must change the text");
        }
        succeeds("merge", lora, "--into", base, "--out", merged);
        succeeds("export-onnx", merged, "--with-past", "--out", merged.resolve("model.onnx"));
        assertArrayEquals(expected, onOnnx(sampler, merged.resolve("model.onnx"), true));
        try (Checkpoint checkpoint = Checkpoint.open(merged)) {
            assertArrayEquals(expected, onDjl(sampler, Model.of(checkpoint), true));
        }
    }

    private static BoundAdapter adapter(Checkpoint base) throws IOException {
        List<Target> targets = new Binding(base)
                .targets(List.of("q_proj", "up_proj"), Model.of(base).architecture());
        Random random = new Random(3);
        BoundAdapter fresh = BoundAdapter.fresh(
                new Lora(3, 6, 0),
                targets,
                target -> base.tensors().get(target.tensor()),
                Map.of(),
                Optional.empty(),
                Map.of(),
                random);
        Map<String, FloatTensor> trained = new LinkedHashMap<>();
        for (String key : fresh.trainedKeys()) {
            Shape shape = Objects.requireNonNull(fresh.tensors().get(key)).shape();
            float[] values = new float[(int) shape.elements()];
            for (int i = 0; i < values.length; i++) {
                values[i] = 0.5f * (float) random.nextGaussian();
            }
            trained.put(key, new FloatTensor(shape, values));
        }
        return fresh.with(trained, Map.of());
    }

    private static void succeeds(Object... args) {
        Cli result = Cli.run(args);
        assertEquals(0, result.exitCode(), result.errors());
    }

    private static void fails(int exitCode, String sentence, Object... args) {
        Cli result = Cli.run(args);
        assertTrue(result.errors().contains(sentence), result.errors());
        assertEquals(exitCode, result.exitCode(), result.errors());
    }

    @Test
    void theTextEndsAtAnEndAndAtTheModelsLength() throws IOException {
        Path home = TinyModel.LLAMA.write(folder, 24);
        try (Checkpoint checkpoint = Checkpoint.open(home)) {
            Model model = Model.of(checkpoint);
            long[] all = run(Sampler.GREEDY, new ReferenceDecoder(model, true));
            long end = all[4];
            int first = 0;
            while (all[first] != end) {
                first++;
            }
            try (Decoder decoder = new ReferenceDecoder(model, true)) {
                long[] ended = new Generation(Sampler.GREEDY, MOST, Set.of(end)).run(decoder, PROMPT, token -> {});
                assertArrayEquals(Arrays.copyOf(all, first), ended);
            }
        }
        succeeds("generate", "--base", home, "--prompt-ids", "1,2", "--max-new-tokens", "1000");
        fails(2, "token id 40, expected 0 to 39", "generate", "--base", home, "--prompt-ids", "1,40");
    }

    @Test
    void textGoesThroughTheTokenizer() throws IOException {
        Path bert = TinyBert.write(folder.resolve("bert"), 1);
        Path home = TinyModel.GPT2.write(folder.resolve("gpt2"), 25);
        try (TextCodec codec = TextCodec.open(bert)) {
            assertArrayEquals(new long[] {2, 4, 8, 3}, codec.encode("good movie"));
            assertEquals("good movie", codec.decode(new long[] {2, 4, 8, 3}));
        }
        fails(3, "tokenizer.json: does not exist", "generate", "--base", home, "--prompt", "good movie");
        Files.copy(bert.resolve("tokenizer.json"), home.resolve("tokenizer.json"));
        succeeds("generate", "--base", home, "--prompt", "good movie", "--max-new-tokens", "3");
    }

    @Test
    void whatCannotGenerateIsRefused() throws IOException {
        Path bert = TinyBert.write(folder.resolve("bert"), 1);
        Path home = TinyModel.GPT2.write(folder.resolve("gpt2"), 25);
        fails(3, "architectures", "generate", "--base", bert, "--prompt-ids", "1,2");
        fails(2, "--with-past", "export-onnx", bert, "--with-past", "--out", bert.resolve("model.onnx"));
        succeeds("export-onnx", home, "--out", home.resolve("model.onnx"));
        fails(2, "export it with --with-past", "generate", "--onnx", home.resolve("model.onnx"), "--prompt-ids", "1");
        fails(2, "give --base or --onnx", "generate", "--prompt-ids", "1,2");
        fails(2, "give --prompt or --prompt-ids", "generate", "--base", home);
        fails(2, "--temperature", "generate", "--base", home, "--prompt-ids", "1,2", "--temperature", "-1");
    }
}
