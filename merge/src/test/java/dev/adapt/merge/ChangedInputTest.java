package dev.adapt.merge;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.PatchJournal;
import dev.adapt.formats.diff.CheckpointDiff;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.merge.convert.Extraction;
import dev.adapt.merge.kernel.Kernels;
import dev.adapt.merge.lowrank.Cut;
import dev.adapt.merge.plan.MergePlan;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.atomic.LongAdder;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("A base that another program changes while it is read")
class ChangedInputTest {
    private static final int WIDTH = 256;

    @TempDir
    private Path folder;

    private Path base = Path.of("");
    private Path tuned = Path.of("");
    private Path adapter = Path.of("");

    private interface Change {
        void run() throws IOException;
    }

    @BeforeEach
    void makeFiles() throws IOException {
        base = checkpoint("base", 1);
        tuned = checkpoint("tuned", 2);
        adapter = Files.createDirectory(folder.resolve("adapter"));
        Map<String, FloatTensor> parts = new TreeMap<>();
        parts.put("base_model.model.layer.lora_A.weight", values(Shape.of(2, WIDTH), 3));
        parts.put("base_model.model.layer.lora_B.weight", values(Shape.of(WIDTH, 2), 4));
        SafetensorsWriter.write(adapter.resolve(Adapter.FILE), parts, Map.of());
        Files.writeString(adapter.resolve("adapter_config.json"), "{\"peft_type\": \"LORA\", \"r\": 2}");
    }

    private Path checkpoint(String name, long seed) throws IOException {
        Path own = Files.createDirectory(folder.resolve(name));
        SafetensorsWriter.write(
                own.resolve(Checkpoint.SINGLE),
                Map.of(
                        "layer.weight", values(Shape.of(WIDTH, WIDTH), seed),
                        "other.weight", values(Shape.of(WIDTH, WIDTH), seed + 10)),
                Map.of());
        return own;
    }

    private static FloatTensor values(Shape shape, long seed) {
        float[] values = new float[(int) shape.elements()];
        Random random = new Random(seed);
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return new FloatTensor(shape, values);
    }

    /** Replaces the file as an atomic writer does. */
    private void replace() throws IOException {
        Path other = Files.copy(tuned.resolve(Checkpoint.SINGLE), folder.resolve("new"));
        Files.move(other, base.resolve(Checkpoint.SINGLE), StandardCopyOption.REPLACE_EXISTING);
    }

    /** Writes over the last value of the file, as a program that works in place does. */
    private void overwrite() throws IOException {
        Path file = base.resolve(Checkpoint.SINGLE);
        try (RandomAccessFile open = new RandomAccessFile(file.toFile(), "rw")) {
            open.seek(open.length() - 4);
            open.writeInt(0);
        }
        // the test is faster than the clock of some file systems
        Files.setLastModifiedTime(file, FileTime.fromMillis(System.currentTimeMillis() + 1000));
    }

    private void shorten() throws IOException {
        try (RandomAccessFile open =
                new RandomAccessFile(base.resolve(Checkpoint.SINGLE).toFile(), "rw")) {
            open.setLength(4096);
        }
    }

    @Test
    @DisplayName("ends a merge with an error and without an output")
    void merge() throws IOException {
        assertRefused("was replaced by another file", this::replace, this::merged);
        assertRefused("was changed while it was read", this::overwrite, this::merged);
        assertRefused("was changed while it was read", this::shorten, this::merged);
    }

    /** The base changes when the first bytes of the output are written. */
    private void merged(Path out, Change change) throws IOException {
        try (Checkpoint open = Checkpoint.open(base)) {
            merger(open, Adapter.read(adapter), atFirstBytes(change), Outputs.fresh())
                    .merge(out);
        }
    }

    @Test
    @DisplayName("or an adapter that changes during a merge in place: the base is restored")
    void mergeInPlace() throws IOException {
        byte[] before = Files.readAllBytes(base.resolve(Checkpoint.SINGLE));
        Path weights = adapter.resolve(Adapter.FILE);
        LongAdder written = atFirstBytes(
                () -> Files.setLastModifiedTime(weights, FileTime.fromMillis(System.currentTimeMillis() + 1000)));
        try (PatchJournal journal = PatchJournal.begin(base);
                Checkpoint open = Checkpoint.open(journal);
                Adapter.Opened opened = Adapter.open(adapter)) {
            Outputs outputs = Outputs.fresh();
            outputs.madeFrom(List.of(opened.tensors().snapshot()));
            Merger merger = merger(open, opened.adapter(), written, outputs);
            FormatException refused = assertThrows(FormatException.class, () -> merger.mergeInPlace(journal));
            String message = String.valueOf(refused.getMessage());
            assertTrue(message.contains(weights + ": was changed while it was read"), message);
        }
        assertTrue(written.sum() > 0, "the base was not written at all");
        assertArrayEquals(before, Files.readAllBytes(base.resolve(Checkpoint.SINGLE)));
        assertFalse(Files.exists(base.resolve(PatchJournal.FILE)));
    }

    private static LongAdder atFirstBytes(Change change) {
        return new LongAdder() {
            private static final long serialVersionUID = 1L;

            @Override
            public void add(long bytes) {
                if (sum() == 0) {
                    try {
                        change.run();
                    } catch (IOException e) {
                        throw new UncheckedIOException(e);
                    }
                }
                super.add(bytes);
            }
        };
    }

    private static Merger merger(Checkpoint base, Adapter adapter, LongAdder written, Outputs outputs) {
        Merger.Settings settings = new Merger.Settings(
                Kernels.best(),
                1,
                false,
                written,
                Optional.empty(),
                Optional.empty(),
                false,
                OptionalLong.empty(),
                outputs);
        return new Merger(base, List.of(new MergePlan.Weighted(new Binding(base).bind(adapter, true), 1)), settings);
    }

    @Test
    @DisplayName("ends an extraction with an error, also where its mapped pages are gone")
    void extract() throws IOException {
        assertRefused("was replaced by another file", this::replace, this::extracted);
        assertRefused("was changed while it was read", this::overwrite, this::extracted);
        assertRefused("while it was read", this::shorten, this::extracted);
    }

    private void extracted(Path out, Change change) throws IOException {
        try (Checkpoint left = Checkpoint.open(tuned);
                Checkpoint right = Checkpoint.open(base)) {
            change.run();
            new Extraction(new Cut.Rank(1), List.of("layer"), List.of(), Dtype.F32).extract(left, right, out);
        }
    }

    @Test
    @DisplayName("is named by a comparison where its mapped pages are gone")
    void diff() throws IOException {
        try (Checkpoint left = Checkpoint.open(tuned);
                Checkpoint right = Checkpoint.open(base)) {
            shorten();
            FormatException refused = assertThrows(FormatException.class, () -> CheckpointDiff.of(left, right, 2));
            assertTrue(String.valueOf(refused.getMessage()).contains(base.toString()), refused.getMessage());
        }
    }

    private interface Use {
        void run(Path out, Change change) throws IOException;
    }

    private void assertRefused(String sentence, Change change, Use use) throws IOException {
        Path kept = Files.copy(base.resolve(Checkpoint.SINGLE), folder.resolve("kept"));
        FormatException refused = assertThrows(FormatException.class, () -> use.run(folder.resolve("out"), change));
        assertTrue(String.valueOf(refused.getMessage()).contains(sentence), refused.getMessage());
        assertTrue(String.valueOf(refused.getMessage()).contains(base.toString()), refused.getMessage());
        Files.move(kept, base.resolve(Checkpoint.SINGLE), StandardCopyOption.REPLACE_EXISTING);
        try (Stream<Path> inside = Files.list(folder)) {
            assertEquals(
                    List.of("adapter", "base", "tuned"),
                    inside.map(path -> path.getFileName().toString()).sorted().toList());
        }
    }
}
