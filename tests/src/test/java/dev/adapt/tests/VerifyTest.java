package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.cli.verify.DjlEngine;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.lowrank.CondLora;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.method.random.Rounding;
import dev.adapt.formats.method.seeded.Vera;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.train.device.Devices;
import dev.adapt.verify.compare.Report;
import dev.adapt.verify.form.Engine;
import dev.adapt.verify.form.Forms;
import dev.adapt.verify.form.Settings;
import dev.adapt.verify.form.Verification;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("verify passes what is equal, fails what is not, and refuses what cannot be compared")
class VerifyTest {
    private static final List<String> NAMES = List.of("query", "output.dense");
    private static final Head HEAD = new Head(Pooling.MEAN, List.of("no", "yes"));
    private static final String WEIGHT = "encoder.layer.1.output.dense.weight";

    @TempDir
    private Path folder;

    private Path base;
    private Path adapter;
    private Path merged;
    private Path onnx;

    @BeforeEach
    void places() throws IOException {
        base = TinyBert.write(folder.resolve("base"), 1);
        adapter = Files.createDirectory(folder.resolve("adapter"));
        merged = folder.resolve("merged");
        onnx = merged.resolve("model.onnx");
    }

    static Stream<AdapterMethod> methods() {
        return Stream.of(
                new Lora(4, 8, 0.1),
                new Lora(4, 8, false, true, 0.1, Map.of(), Map.of()),
                new Vera(16, 0.1, 3, 0.1, false, Rounding.FMA),
                new CondLora(4, 8, 0.1));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("methods")
    void everyFormOfOneModelIsEqual(AdapterMethod method) throws IOException {
        mergeAndExport(method);
        assertExit(0, "--base", base, "--adapter", adapter, "--merged", merged, "--onnx", onnx, "--device", "cpu");
        Path texts = Files.writeString(
                folder.resolve("texts.tsv"), "a very good movie\tpos\nnot a good book\tneg\na bad book\tneg\n");
        assertExit(0, "--merged", merged, "--onnx", onnx, "--data", texts, "--device", "cpu");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "text\na good movie\na bad book\n",
                "a good movie\na bad book\n",
                "id\ttext\tother\n1\ta good movie\tx\n2\ta bad book\ty\n"
            })
    void textsNeedNoLabels(String table) throws IOException {
        mergeAndExport(new Lora(4, 8, 0));
        Path texts = Files.writeString(folder.resolve("texts.tsv"), table);
        Cli result = assertExit(0, "--merged", merged, "--onnx", onnx, "--data", texts, "--device", "cpu");
        assertTrue(result.output().contains("the first 2 texts of "), result.output());
    }

    @Test
    void aNudgeToOneWeightIsFound() throws IOException {
        mergeAndExport(new Lora(4, 8, 0));
        nudge(merged.resolve("model.safetensors"), 0.05f);
        assertExit(4, "--base", base, "--adapter", adapter, "--merged", merged, "--device", "cpu");
        // the graph's weights lie in the merged file: the two are still one model
        assertExit(0, "--merged", merged, "--onnx", onnx, "--device", "cpu");
    }

    @Test
    void theToleranceDecides() throws IOException {
        mergeAndExport(new Lora(4, 8, 0));
        nudge(merged.resolve("model.safetensors"), 1e-3f);
        Object[] forms = {"--base", base, "--adapter", adapter, "--merged", merged, "--device", "cpu", "--tolerance"};
        assertExit(4, Stream.concat(Stream.of(forms), Stream.of("1e-7")).toArray());
        assertExit(0, Stream.concat(Stream.of(forms), Stream.of("1")).toArray());
    }

    @Test
    void anotherModelsOnnxIsNotEqual() throws IOException {
        mergeAndExport(new Lora(4, 8, 0));
        Path other = TinyBert.write(folder.resolve("other"), 2);
        assertEquals(
                0,
                Cli.run("export-onnx", other, "--out", other.resolve("model.onnx"))
                        .exitCode());
        assertExit(4, "--base", base, "--onnx", other.resolve("model.onnx"), "--device", "cpu");
    }

    @Test
    void formsWithAndWithoutAHeadAreRefused() throws IOException {
        mergeAndExport(new Lora(4, 8, 0));
        Cli checkpoints = assertExit(3, "--base", base, "--merged", merged);
        assertTrue(checkpoints.errors().contains("lacks the classification head"), checkpoints.errors());
        Cli model = assertExit(3, "--base", base, "--onnx", onnx);
        assertTrue(model.errors().contains("has the outputs logits, expected one called last_hidden_state"));
    }

    @Test
    void tooFewFormsAreBadUsage() throws IOException {
        assertExit(2);
        assertExit(2, "--base", base);
        assertExit(2, "--adapter", adapter, "--merged", base);
    }

    @ParameterizedTest
    @ValueSource(strings = {"--inputs=0", "--tolerance=-1", "--tolerance=NaN", "--device=tpu"})
    void aValueThatCannotBeIsBadUsage(String option) throws IOException {
        assertExit(2, "--base", base, "--merged", base, option);
    }

    @Test
    void aTokenizerOfAnotherModelIsRefused() throws IOException {
        Path tokenizer = base.resolve("tokenizer.json");
        Files.writeString(tokenizer, Files.readString(tokenizer).replace("\"movie\": 8", "\"movie\": 8000"));
        Path texts = Files.writeString(folder.resolve("texts.tsv"), "a movie\tpos\na book\tneg\n");
        Cli result = assertExit(3, "--base", base, "--merged", base, "--data", texts, "--label-column", "2");
        assertTrue(result.errors().contains("gives the token id 8000"), result.errors());
    }

    private static Cli assertExit(int code, Object... args) {
        Cli result = Cli.run(Stream.concat(Stream.of("verify"), Stream.of(args)).toArray());
        assertEquals(code, result.exitCode(), result.errors());
        return result;
    }

    @Test
    void onlyOneModelIsOnTheEngineAtATime() throws IOException {
        mergeAndExport(new Lora(4, 8, 0.1));
        CountingEngine engine = new CountingEngine();
        Forms forms = new Forms(
                Optional.of(base),
                Optional.of(adapter),
                List.of(merged, merged),
                List.of(),
                List.of(onnx),
                Optional.empty());
        Report report = Verification.of(forms, Settings.DEFAULT.on(engine), Engine.Listener.NONE);
        assertTrue(report.passed(), report::verdict);
        assertEquals(3, engine.loads);
        assertEquals(1, engine.most);
        assertEquals(0, engine.open);
    }

    /** DJL, and how many models are on it. */
    private static final class CountingEngine implements Engine {
        private final Engine djl = new DjlEngine(Devices.CPU);
        private int loads;
        private int open;
        private int most;

        @Override
        public Loaded load(Model model) {
            loads++;
            open++;
            most = Math.max(most, open);
            Loaded loaded = djl.load(model);
            return new Loaded(loaded.name(), loaded.run(), () -> {
                loaded.close().run();
                open--;
            });
        }
    }

    private void mergeAndExport(AdapterMethod method) throws IOException {
        writeAdapter(method);
        Cli merge = Cli.run("merge", adapter, "--into", base, "--out", merged);
        assertEquals(0, merge.exitCode(), merge.errors());
        Cli export = Cli.run("export-onnx", merged, "--out", onnx);
        assertEquals(0, export.exitCode(), export.errors());
    }

    /** An adapter of random values, as if it had been trained. */
    private void writeAdapter(AdapterMethod method) throws IOException {
        Random random = new Random(4);
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            Binding binding = new Binding(checkpoint);
            List<Target> targets = binding.targets(NAMES, Architectures.of(ModelConfig.of(checkpoint)));
            Map<String, FloatTensor> head = Map.of(
                    "classifier.weight", random(Shape.of(2, TinyBert.HIDDEN), random),
                    "classifier.bias", random(Shape.of(2), random));
            BoundAdapter fresh = BoundAdapter.fresh(
                    method, targets, binding::weight, head, Optional.of(HEAD), binding.digests(targets), random);
            Map<String, FloatTensor> trained = new LinkedHashMap<>();
            fresh.trainedKeys()
                    .forEach(key ->
                            trained.put(key, random(fresh.tensors().get(key).shape(), random)));
            fresh.with(trained, Map.of()).write(adapter, NAMES, base);
        }
    }

    private static FloatTensor random(Shape shape, Random random) {
        float[] values = new float[(int) shape.elements()];
        for (int i = 0; i < values.length; i++) {
            values[i] = 0.3f * (float) random.nextGaussian();
        }
        return new FloatTensor(shape, values);
    }

    /** Adds to the first element of one weight and leaves every other byte of the file as it is. */
    private static void nudge(Path file, float by) throws IOException {
        long position;
        float value;
        try (SafetensorsFile open = SafetensorsFile.open(file)) {
            position = open.tensor(WEIGHT).position();
            value = open.tensor(WEIGHT).toFloats()[0];
        }
        ByteBuffer bytes = ByteBuffer.allocate(Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        bytes.putFloat(0, value + by);
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
            channel.write(bytes, position);
        }
    }
}
