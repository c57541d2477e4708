package dev.adapt.tests.fuzz;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.PatchJournal;
import dev.adapt.formats.checkpoint.UnfinishedChangeException;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32C;

/**
 * What Jazzer runs on the journals of changes in place. The input is the file, or tells what records are in it: their
 * checksums are then right, which no guessing would find.
 */
public final class JournalHarness {
    private static final int VALUES = 32;
    private static final List<String> SHARDS = List.of("model-1.safetensors", "model-2.safetensors");
    private static final List<String> NAMES = List.of(
            SHARDS.get(0),
            SHARDS.get(1),
            "linked.safetensors",
            "other.safetensors",
            "run.sh",
            "config.json",
            "../key",
            "./model-1.safetensors",
            PatchJournal.FILE);
    private static final Path OUTSIDE = make();
    private static final Path BASE = OUTSIDE.resolve("base");
    private static final Path JOURNAL = BASE.resolve(PatchJournal.FILE);
    private static final Tree PRISTINE = Tree.of(OUTSIDE);

    private JournalHarness() {}

    private static Path make() {
        try {
            Path outside = Files.createTempDirectory("journal").toRealPath();
            Path base = Files.createDirectory(outside.resolve("base"));
            for (String file : List.of("base/" + SHARDS.get(0), "base/" + SHARDS.get(1), "base/other.safetensors")) {
                write(outside.resolve(file), "tensor of " + file);
            }
            write(outside.resolve("target.safetensors"), "linked");
            Files.createSymbolicLink(base.resolve("linked.safetensors"), outside.resolve("target.safetensors"));
            Files.writeString(base.resolve("run.sh"), "echo harmless\n".repeat(20));
            Files.writeString(base.resolve("config.json"), "{\"padding\": \"" + "x".repeat(300) + "\"}");
            Files.writeString(outside.resolve("key"), "secret\n".repeat(40));
            Files.writeString(base.resolve(Checkpoint.INDEX), """
                    {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "linked.safetensors"}}
                    """);
            return outside;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void write(Path file, String tensor) throws IOException {
        SafetensorsWriter.write(file, Map.of(tensor, new FloatTensor(Shape.of(VALUES), new float[VALUES])), Map.of());
    }

    /** Jazzer's entry point. */
    public static void fuzzerTestOneInput(byte[] input) throws IOException {
        ByteBuffer in = ByteBuffer.wrap(input).order(ByteOrder.LITTLE_ENDIAN);
        int mode = next(in);
        byte[] journal =
                (mode & 3) == 0 ? Arrays.copyOfRange(input, Math.min(1, input.length), input.length) : made(in);
        Files.write(JOURNAL, journal);
        Tree before = PRISTINE.with("base/" + PatchJournal.FILE, journal);
        requireStopsReaders();
        try {
            if ((mode & 4) == 0) {
                PatchJournal.recover(BASE);
            } else {
                PatchJournal.begin(BASE).close();
            }
            requireOnlyTensors(Tree.of(OUTSIDE));
        } catch (FormatException declared) {
            if (!declared.getMessage().startsWith(JOURNAL.toString())) {
                throw new AssertionError("names no file", declared);
            }
            before.requireSame(Tree.of(OUTSIDE));
            Files.delete(JOURNAL);
        }
    }

    private static void requireStopsReaders() throws IOException {
        try {
            Checkpoint.open(BASE).close();
            throw new AssertionError("the checkpoint was opened beside a journal");
        } catch (UnfinishedChangeException declared) {
            // as it should
        }
    }

    /** Nothing changed but the data of the two shards; for the next input they are made again. */
    private static void requireOnlyTensors(Tree after) throws IOException {
        Tree same = after;
        for (String shard : SHARDS) {
            byte[] old = PRISTINE.files().get("base/" + shard);
            byte[] now = after.files().get("base/" + shard);
            int header = old.length - VALUES * Float.BYTES;
            if (now == null || now.length != old.length || !Arrays.equals(old, 0, header, now, 0, header)) {
                throw new AssertionError(shard + " was changed beside its tensors");
            }
            same = same.with("base/" + shard, old);
            if (!Arrays.equals(old, now)) {
                Files.write(BASE.resolve(shard), old);
            }
        }
        PRISTINE.requireSame(same);
    }

    private static byte[] made(ByteBuffer in) throws IOException {
        ByteArrayOutputStream records = new ByteArrayOutputStream();
        while (in.hasRemaining()) {
            records.write(record(in));
        }
        int size = 32 + records.size();
        ByteBuffer journal = ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
        journal.put("adaptjn2".getBytes(StandardCharsets.US_ASCII)).putLong(1).putLong(size);
        CRC32C checksum = new CRC32C();
        checksum.update(journal.array(), 0, 8);
        checksum.update(journal.array(), 16, 8);
        journal.putInt((int) checksum.getValue());
        return journal.put(32, records.toByteArray()).array();
    }

    /** Its first byte says what is right in it: all, unless a bit of the upper half is set. */
    private static byte[] record(ByteBuffer in) throws IOException {
        int flags = next(in);
        int chosen = next(in);
        String name = chosen < NAMES.size() ? NAMES.get(chosen) : text(in, chosen % 16);
        boolean target = (flags & 1) == 0;
        long position = target && chosen < NAMES.size() ? size(name) : next(in) | (long) next(in) << 8;
        byte[] content = target ? inode(name) : new byte[(flags & 2) == 0 ? next(in) : 4];
        position = (flags & 0x10) == 0 ? position : position | (long) next(in) << 56;
        content = (flags & 0x20) == 0 ? content : text(in, next(in) % 8).getBytes(StandardCharsets.UTF_8);
        if (!target) {
            Arrays.fill(content, (byte) next(in));
        }
        byte[] encoded = name.getBytes(StandardCharsets.UTF_8);
        ByteBuffer record =
                ByteBuffer.allocate(19 + encoded.length + content.length).order(ByteOrder.LITTLE_ENDIAN);
        record.put((byte) ((flags & 0x40) == 0 ? target ? 3 : 4 : next(in)));
        record.putShort((short) encoded.length).putLong(position);
        record.putInt((flags & 0x80) == 0 ? content.length : next(in) << 20);
        record.put(encoded).put(content);
        CRC32C checksum = new CRC32C();
        checksum.update(record.array(), 0, record.position());
        record.putInt((flags & 8) == 0 ? (int) checksum.getValue() : next(in));
        return record.array();
    }

    private static int next(ByteBuffer in) {
        return in.hasRemaining() ? in.get() & 0xff : 0;
    }

    private static String text(ByteBuffer in, int length) {
        byte[] text = new byte[Math.min(length, in.remaining())];
        in.get(text);
        return new String(text, StandardCharsets.UTF_8);
    }

    private static long size(String name) throws IOException {
        return Files.exists(BASE.resolve(name)) ? Files.size(BASE.resolve(name)) : 0;
    }

    private static byte[] inode(String name) throws IOException {
        if (!NAMES.contains(name) || !Files.exists(BASE.resolve(name))) {
            return new byte[] {'1'};
        }
        return String.valueOf(Files.getAttribute(BASE.resolve(name), "unix:ino"))
                .getBytes(StandardCharsets.UTF_8);
    }
}
