package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.method.random.Rounding;
import dev.adapt.formats.method.seeded.Vera;
import dev.adapt.train.Learner;
import dev.adapt.train.Progress;
import dev.adapt.train.TrainConfig;
import dev.adapt.train.TrainResult;
import dev.adapt.train.Trainer;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.device.Devices;
import dev.adapt.train.metric.Metric;
import dev.adapt.train.task.Classification;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

@DisplayName("Training on the CPU")
class TrainingTest {
    private static final int EPOCHS = 6;
    private static final int STEPS_PER_EPOCH = 6;

    @TempDir
    private Path folder;

    private Path base;
    private Path data;

    static Stream<AdapterMethod> methods() {
        return Stream.of(
                new Lora(3, 6, 0.1),
                new Lora(3, 6, false, true, 0.1, Map.of(), Map.of()),
                new Vera(12, 0.1, 0, 0.1, false, Rounding.FMA));
    }

    @BeforeEach
    void prepare() throws IOException {
        base = TinyBert.write(folder.resolve("base"), 1);
        StringBuilder lines = new StringBuilder("text\tlabel\n");
        for (String filler : List.of("", "a ", "the ", "very ", "a very ", "the very ")) {
            for (String noun : List.of("movie", "book", "")) {
                lines.append(filler).append("good ").append(noun).append("\tyes\n");
                lines.append(filler).append("bad ").append(noun).append("\tno\n");
            }
        }
        data = Files.writeString(folder.resolve("data.tsv"), lines);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("methods")
    @DisplayName("learns what can be learned, and gives the same bytes twice")
    void learnsAndRepeats(AdapterMethod method) throws IOException {
        TrainResult first = train(config(method, "first", 0.02, 7), () -> false);
        byte[] bytes = Files.readAllBytes(folder.resolve("first").resolve(Adapter.FILE));
        assertTrue(first.kept().of(Metric.ACCURACY) > 0.9, first.kept()::text);
        assertTrue(first.kept().loss() < first.scores().getFirst().loss(), "loss");
        assertEquals(EPOCHS * STEPS_PER_EPOCH, first.losses().size());
        assertEquals(bytes.length, first.adapterBytes());

        churn();
        TrainResult second = train(config(method, "second", 0.02, 7), () -> false);
        assertArrayEquals(bytes, Files.readAllBytes(folder.resolve("second").resolve(Adapter.FILE)));
        assertEquals(first.losses(), second.losses());

        train(config(method, "other", 0.02, 8), () -> false);
        assertFalse(
                Arrays.equals(bytes, Files.readAllBytes(folder.resolve("other").resolve(Adapter.FILE))),
                "another seed is another run");
    }

    /** Moves whatever memory the next run gets. */
    private static void churn() {
        long sum = 0;
        for (int i = 1; i < 2000; i++) {
            sum += new byte[i * 7].length;
        }
        assertTrue(sum > 0);
        System.gc();
    }

    @Test
    @DisplayName("that is stopped keeps the best epoch so far, as a whole adapter")
    void stopKeepsTheBest() throws IOException {
        AtomicInteger asked = new AtomicInteger();
        TrainResult result = train(
                config(new Lora(3, 6, 0), "stopped", 0.02, 7), () -> asked.incrementAndGet() > 2 * STEPS_PER_EPOCH + 1);
        assertTrue(result.stopped());
        assertTrue(result.best() == 1 || result.best() == 2, "best " + result.best());
        assertEquals(3, result.scores().size());
        assertEquals(4, Adapter.read(folder.resolve("stopped")).modules().size());
        assertTrue(Files.readString(folder.resolve("stopped/summary.json")).contains("\"stopped_early\" : true"));
    }

    @Test
    @DisplayName("that diverges says at which step and what to lower, and leaves nothing behind")
    void divergence() throws IOException {
        UsageException thrown = assertThrows(
                UsageException.class, () -> train(config(new Lora(3, 6, 0), "diverged", 1e30, 7), () -> false));
        assertTrue(
                thrown.getMessage().matches("training diverged: .* of step \\d+ is .*lower --lr.*"),
                thrown::getMessage);
        try (Stream<Path> left = Files.list(folder)) {
            assertEquals(2, left.count(), "base and data only");
        }
    }

    @Test
    @DisplayName("that diverges after an epoch keeps the best so far and says at which step it diverged")
    void divergenceKeepsTheBest() throws IOException {
        // the decay multiplies weights by -10 a step: finite for an epoch, not for two or three
        TrainResult result = train(config(new Lora(3, 6, 0), "kept", 11, 1, 7), () -> false);
        int step = result.diverged().orElseThrow().step();
        assertTrue(step > STEPS_PER_EPOCH && step < EPOCHS * STEPS_PER_EPOCH, "step " + step);
        assertTrue(result.best() >= 1 && result.best() < result.scores().size(), "best " + result.best());
        assertFalse(result.stopped());
        assertEquals(4, Adapter.read(folder.resolve("kept")).modules().size());
        String summary = Files.readString(folder.resolve("kept/summary.json"));
        assertTrue(summary.contains("\"diverged_at_step\" : " + step), summary);
    }

    @Test
    @DisplayName("that is stopped before its first step writes nothing")
    void stopBeforeTheFirstStep() throws IOException {
        for (int asked : List.of(0, 1)) {
            AtomicInteger count = new AtomicInteger();
            TrainConfig config = config(new Lora(3, 6, 0), "never", 0.02, 7);
            assertTrue(Trainer.train(config, Progress.SILENT, () -> count.getAndIncrement() >= asked)
                    .isEmpty());
            try (Stream<Path> left = Files.list(folder)) {
                assertEquals(2, left.count(), "base and data only");
            }
        }
    }

    private TrainConfig config(AdapterMethod method, String out, double learningRate, long seed) {
        return config(method, out, learningRate, 0.01, seed);
    }

    private TrainConfig config(AdapterMethod method, String out, double learningRate, double weightDecay, long seed) {
        return new TrainConfig(
                base,
                new Learner.Adapter(method),
                List.of("query", "value"),
                new Classification(Dataset.Columns.UNKNOWN),
                data,
                data,
                folder.resolve(out),
                Optional.empty(),
                EPOCHS,
                6,
                learningRate,
                0.05,
                weightDecay,
                0.1,
                1,
                16,
                false,
                Optional.empty(),
                seed,
                Devices.CPU);
    }

    private static TrainResult train(TrainConfig config, BooleanSupplier stop) throws IOException {
        return Trainer.train(config, Progress.SILENT, stop).orElseThrow();
    }
}
