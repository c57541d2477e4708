package dev.adapt.formats.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.WholeIo;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("A journal of a change in place")
class PatchJournalTest {
    private static final int VALUES = 700_000;

    @TempDir
    private Path outside;

    private Path folder = Path.of("");
    private Path shard = Path.of("");
    private Path journal = Path.of("");

    @BeforeEach
    void makeCheckpoint() throws IOException {
        folder = Files.createDirectory(outside.resolve("base")).toRealPath();
        shard = folder.resolve("model-1.safetensors");
        journal = folder.resolve(PatchJournal.FILE);
        write(shard, "a", VALUES);
        write(folder.resolve("model-2.safetensors"), "b", 10);
        Files.writeString(
                folder.resolve(Checkpoint.INDEX),
                "{\"weight_map\": {\"a\": \"model-1.safetensors\", \"b\": \"model-2.safetensors\"}}");
        Files.writeString(
                folder.resolve("config.json"),
                "{\"model_type\": \"bert\", \"padding\": \"%s\"}".formatted("x".repeat(500)));
        Files.writeString(folder.resolve("run.sh"), "echo harmless\n".repeat(100));
        write(folder.resolve("other.safetensors"), "c", 10);
        write(outside.resolve("model-3.safetensors"), "d", 10);
        Files.writeString(outside.resolve("key"), "secret\n".repeat(100));
    }

    private static void write(Path file, String tensor, int count) throws IOException {
        float[] values = new float[count];
        Arrays.fill(values, 1);
        SafetensorsWriter.write(file, Map.of(tensor, new FloatTensor(Shape.of(count), values)), Map.of());
    }

    @Test
    @DisplayName("puts back what was overwritten when it is closed without a commit, and when a process has died")
    void putsBack() throws IOException {
        byte[] before = Files.readAllBytes(shard);
        byte[] left = interrupted();
        assertFalse(Arrays.equals(before, Files.readAllBytes(shard)), "nothing was changed");
        assertTrue(PatchJournal.recover(folder));
        assertArrayEquals(before, Files.readAllBytes(shard));
        assertFalse(Files.exists(journal));
        assertFalse(PatchJournal.recover(folder));
        try (PatchJournal own = PatchJournal.begin(folder)) {
            own.keep(shard, 128, 2_000_000);
            own.ready();
            overwrite(shard, 128, new byte[2_000_000]);
        }
        assertArrayEquals(before, Files.readAllBytes(shard));
        assertFalse(Files.exists(journal));
        overwrite(shard, 128, new byte[2_000_000]);
        Files.write(journal, left);
        try (PatchJournal next = PatchJournal.begin(folder)) {
            assertTrue(next.recovered());
            assertArrayEquals(before, Files.readAllBytes(shard));
        }
    }

    @Test
    @DisplayName("is of no consequence until all is kept: files were not touched before")
    void isNotReady() throws IOException {
        byte[] changed = new byte[2_000_000];
        Arrays.fill(changed, (byte) 7);
        byte[] whole = interrupted();
        overwrite(shard, 128, changed);
        Files.delete(journal);
        Map<String, String> before = state();
        Arrays.fill(whole, 16, 24, (byte) 0);
        for (int length : new int[] {0, JournalHeader.BYTES, 5000, whole.length}) {
            Files.write(journal, sealed(Arrays.copyOf(whole, length)));
            assertTrue(PatchJournal.recover(folder));
            assertEquals(before, state());
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 7, 8, 15, 31, 32, 33, 60, 1 << 20, 2_000_000})
    @DisplayName("is refused as a whole wherever it is cut or a bit is flipped, and left alone")
    void isDamaged(int at) throws IOException {
        byte[] whole = interrupted();
        Files.write(journal, Arrays.copyOf(whole, at));
        assertRefused(at < 8 ? "and is none" : "is damaged");
        Files.write(journal, Arrays.copyOf(whole, whole.length + at));
        assertRefused("is damaged");
        boolean checked = at != 8 && at != 15 && at != 31; // the process's number, and zeros
        if (checked) {
            byte[] flipped = whole.clone();
            flipped[at] ^= 1;
            Files.write(journal, flipped);
            assertRefused(at < 8 ? "and is none" : "is damaged");
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "config.json | is not a weights' file",
                "run.sh | is not a weights' file",
                "other.safetensors | is not a weights' file",
                "model.safetensors.index.json | is not a weights' file",
                ".adapt-journal | is not a weights' file",
                "../model-3.safetensors | is not a weights' file",
                "../key | is not a weights' file",
                "./model-1.safetensors | is not a weights' file",
                "/etc/passwd | is not a weights' file",
                "nowhere.safetensors | is not a weights' file",
                ".. | is not a weights' file"
            })
    @DisplayName("changes only files that the checkpoint's index names")
    void keepsToTheCheckpoint(String name, String reason) throws IOException {
        Path file = folder.resolve(name);
        String inode = Files.isRegularFile(file) ? FileIdentity.of(file).inode() : "1";
        long size = Files.isRegularFile(file) ? Files.size(file) : 1000;
        plant(JournalReader.target(name, inode, size), JournalReader.kept(name, 200, ByteBuffer.allocate(50)));
        assertRefused(reason);
    }

    @ParameterizedTest
    @ValueSource(longs = {0, 20, 63, 2_800_000, Long.MAX_VALUE, Long.MAX_VALUE - 49, 1L << 42})
    @DisplayName("changes only bytes of tensors: not a header, nothing beyond the end")
    void keepsToTensors(long position) throws IOException {
        plant(ownTarget(), JournalReader.kept("model-1.safetensors", position, ByteBuffer.allocate(100_000)));
        assertRefused("do not lie in its tensors");
        plant(
                ownTarget(),
                JournalReader.kept("model-1.safetensors", 1000, ByteBuffer.allocate(8)),
                JournalReader.kept("model-1.safetensors", position, ByteBuffer.allocate(100_000)));
        assertRefused("do not lie in its tensors");
    }

    @Test
    @DisplayName("names each file once, before its bytes")
    void keepsItsOrder() throws IOException {
        plant(ownTarget(), ownTarget());
        assertRefused("is named twice");
        plant(JournalReader.kept("model-1.safetensors", 1000, ByteBuffer.allocate(8)));
        assertRefused("before the file itself");
    }

    @Test
    @DisplayName("does not change a file that has taken the place of the one it is of")
    void knowsItsFile() throws IOException {
        byte[] left = interrupted();
        Path copy = folder.resolve("copy");
        Files.copy(shard, copy);
        Files.move(copy, shard, StandardCopyOption.REPLACE_EXISTING);
        Files.write(journal, left);
        assertRefused("another has taken its place");
    }

    @Test
    @DisplayName("follows no link, neither of a weights' file nor of its own")
    void followsNoLinks() throws IOException {
        byte[] left = interrupted();
        Path elsewhere = outside.resolve("elsewhere.safetensors");
        Files.move(shard, elsewhere);
        Files.createSymbolicLink(shard, elsewhere);
        Files.write(journal, left);
        assertRefused("is not a regular file");
        Files.delete(shard);
        Files.move(elsewhere, shard);
        Path linked = Files.write(outside.resolve("journal"), left);
        Files.delete(journal);
        Files.createSymbolicLink(journal, linked);
        assertRefused("is a link");
        assertTrue(Files.isSymbolicLink(journal));
        Files.delete(journal);
        Files.createDirectory(journal);
        assertRefused("is a folder");
    }

    @Test
    @DisplayName("is not deleted where it is a file of another kind, or of another version")
    void leavesOthersAlone() throws IOException {
        for (String text : List.of("my notes\n", "x", "adaptjnX".repeat(100))) {
            Files.writeString(journal, text);
            assertRefused("and is none");
        }
        Files.writeString(journal, "adaptjnl" + "\0".repeat(100));
        assertRefused("format 1");
    }

    @Test
    @DisplayName("of one file of a folder is not replayed into another")
    void belongsToOneFile() throws IOException {
        byte[] left = interrupted();
        Files.write(journal, left);
        assertThrows(FormatException.class, () -> PatchJournal.recover(folder.resolve("other.safetensors")));
        assertArrayEquals(left, Files.readAllBytes(journal));
        assertTrue(PatchJournal.recover(shard));
    }

    @Test
    @DisplayName("stops everybody who reads, in one sentence, and is left as it is")
    void stopsReaders() throws IOException {
        byte[] left = interrupted();
        Path link = Files.createSymbolicLink(outside.resolve("link.safetensors"), shard);
        Map<String, String> before = state();
        for (Path path : List.of(folder, shard, link, folder.resolve("other.safetensors"))) {
            UnfinishedChangeException thrown =
                    assertThrows(UnfinishedChangeException.class, () -> Checkpoint.open(path));
            assertTrue(thrown.getMessage().contains("has not ended"), thrown::getMessage);
        }
        assertEquals(before, state());
        assertArrayEquals(left, Files.readAllBytes(journal));
    }

    @Test
    @DisplayName("locks the checkpoint: the second to change it is told who is at it, and who reads it notices")
    void locks() throws IOException {
        try (Checkpoint reader = Checkpoint.open(folder)) {
            reader.requireUnchanged();
            try (PatchJournal own = PatchJournal.begin(folder)) {
                String process =
                        "is being changed by process " + ProcessHandle.current().pid();
                for (Path path : List.of(folder, shard)) {
                    FormatException second = assertThrows(FormatException.class, () -> PatchJournal.begin(path));
                    assertTrue(second.getMessage().contains(process), second::getMessage);
                    FormatException third = assertThrows(FormatException.class, () -> PatchJournal.recover(path));
                    assertTrue(third.getMessage().contains(process), third::getMessage);
                }
                assertThrows(UnfinishedChangeException.class, reader::requireUnchanged);
                own.keep(shard, 128, 4);
                own.ready();
                overwrite(shard, 128, new byte[4]);
                own.commit();
            }
            FormatException changed = assertThrows(FormatException.class, reader::requireUnchanged);
            assertTrue(changed.getMessage().contains("was changed while it was read"), changed::getMessage);
        }
        Checkpoint.open(folder).close();
    }

    /** A shard that is half changed; its journal, which is what is returned, lies beside it. */
    private byte[] interrupted() throws IOException {
        byte[] whole;
        byte[] changed;
        try (PatchJournal own = PatchJournal.begin(folder)) {
            own.keep(shard, 128, 2_000_000);
            own.ready();
            whole = Files.readAllBytes(journal);
            overwrite(shard, 128, new byte[1_500_000]);
            changed = Files.readAllBytes(shard);
        }
        overwrite(shard, 0, changed);
        Files.write(journal, whole);
        return whole;
    }

    private ByteBuffer ownTarget() throws IOException {
        return JournalReader.target(
                "model-1.safetensors", FileIdentity.of(shard).inode(), Files.size(shard));
    }

    /** A journal that is sound in itself. */
    private void plant(ByteBuffer... records) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        for (ByteBuffer record : records) {
            byte[] own = new byte[record.remaining()];
            record.duplicate().get(own);
            bytes.write(own);
        }
        byte[] body = bytes.toByteArray();
        ByteBuffer whole = ByteBuffer.allocate(JournalHeader.BYTES + body.length);
        whole.put(JournalHeader.BYTES, body);
        Files.deleteIfExists(journal);
        Files.write(journal, whole.array());
        try (FileChannel channel = FileChannel.open(journal, StandardOpenOption.WRITE)) {
            JournalHeader.own(whole.capacity()).write(channel);
        }
    }

    /** The same with the checksum that its header needs. */
    private static byte[] sealed(byte[] journal) {
        if (journal.length >= JournalHeader.BYTES) {
            CRC32C checksum = new CRC32C();
            checksum.update(journal, 0, 8);
            checksum.update(journal, 16, 8);
            ByteBuffer.wrap(journal).order(ByteOrder.LITTLE_ENDIAN).putInt(24, (int) checksum.getValue());
        }
        return journal;
    }

    private static void overwrite(Path file, long position, byte[] bytes) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
            WholeIo.write(channel, ByteBuffer.wrap(bytes), position);
        }
    }

    /** Neither recovering nor beginning another change touches anything, the journal included. */
    private void assertRefused(String reason) throws IOException {
        Map<String, String> before = state();
        for (Path checkpoint : List.of(folder, shard)) {
            FormatException recovering = assertThrows(FormatException.class, () -> PatchJournal.recover(checkpoint));
            assertTrue(recovering.getMessage().contains(reason) || checkpoint.equals(shard), recovering::getMessage);
            assertTrue(recovering.getMessage().startsWith(journal.toString()), recovering::getMessage);
            assertThrows(
                    FormatException.class, () -> PatchJournal.begin(checkpoint).close());
        }
        assertEquals(before, state());
    }

    /** All files, in the checkpoint's folder and beside it. */
    private Map<String, String> state() throws IOException {
        Map<String, String> state = new TreeMap<>();
        try (Stream<Path> all = Files.walk(outside)) {
            for (Path path : all.toList()) {
                state.put(
                        path.toString(),
                        Files.isRegularFile(path, LinkOption.NOFOLLOW_LINKS)
                                ? Files.size(path) + " bytes, hash " + Arrays.hashCode(Files.readAllBytes(path))
                                : "");
            }
        }
        return state;
    }
}
