package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.train.Course;
import dev.adapt.train.DevData;
import dev.adapt.train.Learner;
import dev.adapt.train.Progress;
import dev.adapt.train.TrainConfig;
import dev.adapt.train.TrainResult;
import dev.adapt.train.Trainer;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.device.Devices;
import dev.adapt.train.djl.Schedule;
import dev.adapt.train.metric.Scores;
import dev.adapt.train.task.Classification;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("A training run's course: accumulation, checkpoints, early end, dev data")
class CourseTest {
    private static final int EXAMPLES = 160;
    private static final int TOTAL = 100;
    private static final int KILLED = 50;

    @TempDir
    private Path folder;

    private Path base;
    private Path data;

    /** What ends a run at once, as a kill would. */
    private static final class Killed extends RuntimeException {
        private static final long serialVersionUID = 1L;
    }

    /** Listens, and kills the run after a step if it is one that is given. */
    private static final class Listener implements Progress {
        private final List<String> found = new ArrayList<>();
        private final List<String> notes = new ArrayList<>();
        private final int killedAfter;
        private Optional<Start> start = Optional.empty();

        Listener(int killedAfter) {
            this.killedAfter = killedAfter;
        }

        @Override
        public void found(String what) {
            assertTrue(start.isEmpty(), "it is said before the run begins");
            found.add(what);
        }

        @Override
        public void noted(String what) {
            notes.add(what);
        }

        @Override
        public void started(Start now) {
            start = Optional.of(now);
        }

        @Override
        public void stepped(Step step) {
            // the checkpoint of a step is written after it is told: the next step kills
            if (step.step() == killedAfter + 1) {
                throw new Killed();
            }
        }
    }

    @BeforeEach
    void prepare() throws IOException {
        base = TinyBert.write(folder.resolve("base"), 1);
        StringBuilder lines = new StringBuilder("text\tlabel\n");
        String[] fillers = {"", "a ", "the ", "very ", "a very ", "the very ", "a a ", "the the "};
        for (int i = 0; i < EXAMPLES; i++) {
            boolean good = i % 5 < 3;
            lines.append(fillers[i % 8]).append(good ? "good " : "bad ").append(i % 3 == 0 ? "movie" : "book");
            lines.append(good ? "\tyes\n" : "\tno\n");
        }
        data = Files.writeString(folder.resolve("data.tsv"), lines);
    }

    private TrainConfig config(String out, int batch, int epochs, double dropout, DevData eval, Course course) {
        return new TrainConfig(
                base,
                new Learner.Adapter(new Lora(3, 6, dropout)),
                List.of("query", "value"),
                new Classification(Dataset.Columns.UNKNOWN),
                data,
                eval,
                folder.resolve(out),
                Optional.empty(),
                epochs,
                batch,
                0.01,
                0.02,
                0.01,
                0.1,
                1,
                16,
                false,
                Optional.empty(),
                7,
                Devices.CPU,
                course);
    }

    private static Course every(int steps, Optional<Path> resume) {
        return new Course(Schedule.Decay.COSINE, 1, OptionalInt.empty(), OptionalInt.of(steps), resume);
    }

    private static TrainResult train(TrainConfig config, Progress progress) throws IOException {
        return Trainer.train(config, progress, () -> false).orElseThrow();
    }

    private byte[] bytes(String out) throws IOException {
        return Files.readAllBytes(folder.resolve(out).resolve(Adapter.FILE));
    }

    @Test
    @DisplayName("killed at step 50 of 100 and resumed, it writes the bytes of one that was not interrupted")
    void resumes() throws IOException {
        DevData dev = new DevData.Share(0.2);
        TrainResult whole = train(config("whole", 8, 6, 0.1, dev, every(KILLED, Optional.empty())), Progress.SILENT);
        assertEquals(96, whole.losses().size(), "128 examples to learn, 8 a step, 6 epochs");
        for (int at : List.of(KILLED, 48)) { // within an epoch, and at the end of one
            String out = "killed-" + at;
            assertThrows(
                    Killed.class,
                    () -> train(config(out, 8, 6, 0.1, dev, every(at, Optional.empty())), new Listener(at)));
            assertFalse(Files.exists(folder.resolve(out)), "no output of a killed run");
            Path checkpoint = Course.checkpointOf(folder.resolve(out));
            assertEquals(4, Adapter.read(checkpoint).modules().size(), "the checkpoint is an adapter too");
            Listener listener = new Listener(TOTAL);
            TrainResult resumed = train(config(out, 8, 6, 0.1, dev, every(at, Optional.of(checkpoint))), listener);
            assertArrayEquals(bytes("whole"), bytes(out));
            assertEquals(whole.losses(), resumed.losses());
            assertEquals(whole.best(), resumed.best());
            assertEquals(
                    whole.scores().stream().map(Scores::text).toList(),
                    resumed.scores().stream().map(Scores::text).toList());
            assertTrue(
                    listener.notes.toString().contains("goes on after step " + at + " of 96"),
                    listener.notes::toString);
            long steps = Files.readAllLines(folder.resolve(out).resolve("training.jsonl")).stream()
                    .filter(line -> line.contains("\"step\""))
                    .count();
            assertEquals(96, steps);
        }
    }

    @Test
    @DisplayName("a checkpoint of other settings, or a damaged one, is refused in a sentence")
    void refusesOthers() throws IOException {
        DevData dev = new DevData.None();
        train(config("first", 32, 1, 0, dev, every(2, Optional.empty())), Progress.SILENT);
        Path checkpoint = Course.checkpointOf(folder.resolve("first"));
        Course resumed = every(2, Optional.of(checkpoint));
        UsageException other = assertThrows(
                UsageException.class, () -> train(config("other", 16, 1, 0, dev, resumed), Progress.SILENT));
        assertTrue(other.getMessage().contains("was begun with batch_size 32, now it is 16"), other::getMessage);
        assertThrows(
                java.nio.file.FileSystemException.class,
                () -> train(config("first", 32, 1, 0, dev, every(2, Optional.empty())), Progress.SILENT),
                "a checkpoint is not replaced unasked");
        Path state = checkpoint.resolve("training_state.json");
        String text = Files.readString(state);
        for (String[] damage : new String[][] {
            {"\"losses\" : [", "\"losses\" : [ \"x\", "},
            {"\"step\" : ", "\"step\" : -"},
            {"\"settings\" : {", "\"setting\" : {"},
            {"\"log\" : [", "\"log_\" : ["}
        }) {
            Files.writeString(state, text.replace(damage[0], damage[1]));
            FormatException thrown = assertThrows(
                    FormatException.class, () -> train(config("damaged", 32, 1, 0, dev, resumed), Progress.SILENT));
            assertTrue(thrown.getMessage().contains(state.toString()), thrown::getMessage);
        }
        Files.writeString(state, text);
        Files.copy(base.resolve("model.safetensors"), checkpoint.resolve("other"));
        Files.move(
                checkpoint.resolve("other"),
                checkpoint.resolve("training_state.safetensors"),
                java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        FormatException thrown = assertThrows(
                FormatException.class, () -> train(config("damaged", 32, 1, 0, dev, resumed), Progress.SILENT));
        assertTrue(thrown.getMessage().contains("training_state.safetensors"), thrown::getMessage);
        assertFalse(Files.exists(folder.resolve("damaged")));
    }

    @Test
    @DisplayName("4 batches of 8 learn as one of 32, within 1e-6")
    void accumulates() throws IOException {
        // what is dropped depends on the batch
        Path json = base.resolve("config.json");
        Files.writeString(
                json,
                Files.readString(json)
                        .replaceFirst("\\{", "{\"hidden_dropout_prob\": 0, \"attention_probs_dropout_prob\": 0, "));
        DevData dev = new DevData.Held(data);
        Course four = new Course(Schedule.Decay.LINEAR, 4, OptionalInt.empty(), OptionalInt.empty(), Optional.empty());
        TrainResult one = train(config("one", 32, 2, 0, dev, Course.USUAL), Progress.SILENT);
        TrainResult parts = train(config("parts", 8, 2, 0, dev, four), Progress.SILENT);
        TrainResult eight = train(config("eight", 8, 2, 0, dev, Course.USUAL), Progress.SILENT);
        assertEquals(10, one.losses().size());
        assertEquals(10, parts.losses().size());
        for (int i = 0; i < 10; i++) {
            assertEquals(one.losses().get(i), parts.losses().get(i), 1e-6, "loss of step " + (i + 1));
        }
        assertEquals(0, largestDifference("one", "parts"), 1e-6);
        assertTrue(largestDifference("one", "eight") > 1e-3, "other steps are another adapter");
        assertEquals(20 * 2, eight.losses().size());
    }

    private double largestDifference(String left, String right) throws IOException {
        double largest = 0;
        try (SafetensorsFile a = SafetensorsFile.open(folder.resolve(left).resolve(Adapter.FILE));
                SafetensorsFile b = SafetensorsFile.open(folder.resolve(right).resolve(Adapter.FILE))) {
            for (var tensor : a.tensors()) {
                float[] own = tensor.toFloats();
                float[] other = b.tensor(tensor.name()).toFloats();
                for (int i = 0; i < own.length; i++) {
                    largest = Math.max(largest, Math.abs(own[i] - other[i]));
                }
            }
        }
        return largest;
    }

    @Test
    @DisplayName("ends when scores do not become better, and says after which epoch")
    void patience() throws IOException {
        Course impatient =
                new Course(Schedule.Decay.CONSTANT, 1, OptionalInt.of(2), OptionalInt.empty(), Optional.empty());
        TrainResult result = train(config("out", 16, 40, 0, new DevData.Held(data), impatient), Progress.SILENT);
        assertTrue(result.patienceOver() > 0 && result.patienceOver() < 40, "ended after " + result.patienceOver());
        assertEquals(result.best() + 2, result.patienceOver());
        assertEquals(result.patienceOver() + 1, result.scores().size());
        assertTrue(Files.readString(folder.resolve("out/summary.json"))
                .contains("\"patience_over_after_epoch\" : " + result.patienceOver()));
        UsageException thrown =
                assertThrows(UsageException.class, () -> config("none", 16, 4, 0, new DevData.None(), impatient));
        assertTrue(thrown.getMessage().contains("no dev data"), thrown::getMessage);
    }

    @Test
    @DisplayName("dev data: a share of each class, or none, and what was found is said first")
    void devData() throws IOException {
        Listener listener = new Listener(TOTAL);
        TrainResult shared = train(config("shared", 16, 1, 0, new DevData.Share(0.1), Course.USUAL), listener);
        assertEquals(16, listener.start.orElseThrow().dev().examples(), "of 96 yes 10, of 64 no 6");
        assertEquals(144, listener.start.orElseThrow().training().examples());
        assertEquals(9, shared.losses().size());
        assertEquals(
                List.of(
                        data + ": with a header, column of the text: text, of the label: label",
                        "2 labels: no (64), yes (96)"),
                listener.found.subList(0, 2));
        assertTrue(listener.found.getLast().startsWith("the head reads: "), listener.found::toString);

        TrainResult alone = train(config("alone", 16, 2, 0, new DevData.None(), Course.USUAL), Progress.SILENT);
        assertEquals(List.of(), alone.scores());
        assertEquals(2, alone.best(), "the last epoch is kept");
        assertNotEquals(0, bytes("alone").length);

        Listener same = new Listener(TOTAL);
        train(config("same", 16, 1, 0, new DevData.Held(data), Course.USUAL), same);
        assertTrue(same.notes.toString().contains("the dev data are the training data"), same.notes::toString);
        assertTrue(listener.notes.stream().noneMatch(note -> note.contains("dev data are")), listener.notes::toString);
    }

    @Test
    @DisplayName("says that only one class is predicted")
    void oneClass() throws IOException {
        StringBuilder lines = new StringBuilder("text\tlabel\n");
        Stream.iterate(0, i -> i + 1)
                .limit(40)
                .forEach(i -> lines.append(i % 2 == 0 ? "good" : "bad").append(i % 20 == 0 ? "\tno\n" : "\tyes\n"));
        data = Files.writeString(folder.resolve("rare.tsv"), lines);
        Listener listener = new Listener(TOTAL);
        train(config("rare", 16, 1, 0, new DevData.Held(data), Course.USUAL), listener);
        assertTrue(
                listener.notes.stream().anyMatch(note -> note.startsWith("only one class is predicted")),
                listener.notes::toString);
    }
}
