package dev.adapt.formats.checkpoint;

import dev.adapt.formats.FormatException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import java.util.zip.CRC32C;

/**
 * What makes it safe to change files of a folder in place: the bytes that will be overwritten are first written here and
 * flushed, and only then is a file touched. Whoever opens the folder next and finds a journal puts them back, so that
 * after a crash at any point the files are what they were; when all changes are on the disk, the journal is deleted, and
 * they are what they were to become. There is nothing between.
 *
 * <p>The file, {@value #FILE} in the folder, all numbers little-endian: 8 bytes {@value #MAGIC}; records; at the end one
 * more record that says they are all there. A record is its kind (1 byte: 1 bytes of a file, 2 the end), the length of
 * the file's name (2), the position of the bytes in that file (8), their number (4), the name in UTF-8, the bytes, and
 * CRC-32C of all this (4). The end has no name and no bytes, and the journal's size before it as its position. Order on the
 * disk: records, flush; end, flush, flush of the folder; changes, flush of each file; deletion, flush of the folder. A
 * journal without a valid end belongs to files that nobody has touched.
 *
 * <p>The process that works holds a lock on the journal, which the system takes back when it dies.
 */
public final class PatchJournal implements AutoCloseable {
    /** The journal's name. */
    public static final String FILE = ".adapt-journal";

    private static final String MAGIC = "adaptjnl";
    private static final byte BYTES = 1;
    private static final byte END = 2;
    private static final int HEAD = 1 + Short.BYTES + Long.BYTES + Integer.BYTES;
    private static final int END_SIZE = HEAD + Integer.BYTES;
    private static final int PIECE = 1 << 20;

    private final Path folder;
    private final FileChannel channel;
    private final Set<Path> touched = new LinkedHashSet<>();
    private boolean ready;
    private boolean closed;

    private PatchJournal(Path folder, FileChannel channel) {
        this.folder = folder;
        this.channel = channel;
    }

    /**
     * Begins a journal in a folder, whose files nobody may change until it is {@link #ready}.
     *
     * @throws java.nio.file.FileAlreadyExistsException if there is one
     */
    @SuppressWarnings("MustBeClosedChecker") // closed with the journal
    public static PatchJournal begin(Path folder) throws IOException {
        Path file = folder.resolve(FILE);
        FileChannel channel = FileChannel.open(
                file, StandardOpenOption.CREATE_NEW, StandardOpenOption.READ, StandardOpenOption.WRITE);
        try {
            requireLock(file, channel);
            if (!Files.exists(file)) {
                throw new FormatException(folder, "is opened by another adapt at this moment; try again");
            }
            write(channel, ByteBuffer.wrap(MAGIC.getBytes(StandardCharsets.US_ASCII)));
            return new PatchJournal(folder, channel);
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e;
        }
    }

    private static void requireLock(Path file, FileChannel channel) throws IOException {
        try {
            FileLock lock = channel.tryLock();
            if (lock != null) {
                return;
            }
        } catch (OverlappingFileLockException e) {
            // this process itself works on it, which is answered the same
        }
        throw new FormatException(
                file, "is locked: its folder's checkpoint is being changed in place; wait until that ends");
    }

    /** Writes down bytes of a file of the folder that will be overwritten. */
    public void keep(Path file, long position, long bytes) throws IOException {
        touched.add(file);
        byte[] name = String.valueOf(file.getFileName()).getBytes(StandardCharsets.UTF_8);
        try (FileChannel source = FileChannel.open(file, StandardOpenOption.READ)) {
            for (long done = 0; done < bytes; done += PIECE) {
                int count = (int) Math.min(PIECE, bytes - done);
                ByteBuffer piece = ByteBuffer.allocate(count);
                read(file, source, piece, position + done);
                append(BYTES, name, position + done, piece.flip());
            }
        }
    }

    /** Flushes what was kept. From here on the files may be changed, where bytes of them were kept. */
    public void ready() throws IOException {
        channel.force(true);
        append(END, new byte[0], channel.position(), ByteBuffer.allocate(0));
        channel.force(true);
        flushFolder(folder);
        ready = true;
    }

    private void append(byte kind, byte[] name, long position, ByteBuffer bytes) throws IOException {
        ByteBuffer record = ByteBuffer.allocate(END_SIZE + name.length + bytes.remaining())
                .order(ByteOrder.LITTLE_ENDIAN)
                .put(kind)
                .putShort((short) name.length)
                .putLong(position)
                .putInt(bytes.remaining())
                .put(name)
                .put(bytes);
        record.putInt(checksum(record.array(), record.position()));
        try {
            write(channel, record.flip());
        } catch (IOException e) {
            FileSystemException named = new FileSystemException(
                    folder.resolve(FILE).toString(),
                    null,
                    "cannot be written (" + e.getMessage()
                            + "): it needs room for all bytes that a merge in place changes;"
                            + " make room for it, or merge to another place");
            named.initCause(e);
            throw named;
        }
    }

    private static int checksum(byte[] bytes, int count) {
        CRC32C checksum = new CRC32C();
        checksum.update(bytes, 0, count);
        return (int) checksum.getValue();
    }

    /** Flushes the changed files and deletes the journal: the changes stay. */
    public void commit() throws IOException {
        for (Path file : touched) {
            flush(file);
        }
        end();
    }

    /** Without a {@link #commit}, puts back what was changed. */
    @Override
    public void close() throws IOException {
        if (!closed && ready) {
            restore(folder, channel);
        }
        if (!closed) {
            end();
        }
    }

    private void end() throws IOException {
        Files.deleteIfExists(folder.resolve(FILE));
        closed = true;
        channel.close();
        flushFolder(folder);
    }

    /**
     * Puts back what a change that did not come to its end has overwritten in a folder, if there is such a change.
     *
     * @return whether there was one
     * @throws FormatException if another process is at it, or the journal is damaged
     */
    public static boolean recover(Path folder) throws IOException {
        Path file = folder.resolve(FILE);
        if (!Files.exists(file)) {
            return false;
        }
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            requireLock(file, channel);
            if (isReady(channel)) {
                restore(folder, channel);
            }
            Files.deleteIfExists(file);
        }
        flushFolder(folder);
        return true;
    }

    private static boolean isReady(FileChannel channel) throws IOException {
        long size = channel.size();
        if (size < MAGIC.length() + END_SIZE) {
            return false;
        }
        ByteBuffer end = ByteBuffer.allocate(END_SIZE).order(ByteOrder.LITTLE_ENDIAN);
        read(Path.of(FILE), channel, end, size - END_SIZE);
        end.flip();
        return end.get(0) == END
                && end.getLong(1 + Short.BYTES) == size - END_SIZE
                && end.getInt(HEAD) == checksum(end.array(), HEAD);
    }

    private static void restore(Path folder, FileChannel journal) throws IOException {
        Path journalFile = folder.resolve(FILE);
        Map<String, FileChannel> files = new LinkedHashMap<>();
        try {
            long end = journal.size() - END_SIZE;
            for (long at = MAGIC.length(); at < end; ) {
                Kept record = record(journalFile, journal, at, end);
                FileChannel file = files.get(record.name());
                if (file == null) {
                    file = FileChannel.open(folder.resolve(record.name()), StandardOpenOption.WRITE);
                    files.put(record.name(), file);
                }
                writeAt(file, record.bytes(), record.position());
                at += record.size();
            }
            for (FileChannel file : files.values()) {
                file.force(true);
            }
        } finally {
            for (FileChannel file : files.values()) {
                file.close();
            }
        }
    }

    private record Kept(String name, long position, ByteBuffer bytes, long size) {}

    private static Kept record(Path file, FileChannel journal, long at, long end) throws IOException {
        ByteBuffer head = ByteBuffer.allocate(HEAD).order(ByteOrder.LITTLE_ENDIAN);
        read(file, journal, head, at);
        int nameLength = head.getShort(1);
        long position = head.getLong(1 + Short.BYTES);
        int count = head.getInt(1 + Short.BYTES + Long.BYTES);
        long size = (long) END_SIZE + nameLength + count;
        if (head.get(0) != BYTES || nameLength <= 0 || count < 0 || count > PIECE || at + size > end) {
            throw damaged(file, at);
        }
        ByteBuffer whole = ByteBuffer.allocate((int) size).order(ByteOrder.LITTLE_ENDIAN);
        read(file, journal, whole, at);
        if (whole.getInt((int) size - Integer.BYTES) != checksum(whole.array(), (int) size - Integer.BYTES)) {
            throw damaged(file, at);
        }
        String name = new String(whole.array(), HEAD, nameLength, StandardCharsets.UTF_8);
        if (!Path.of(name).equals(Path.of(name).getFileName())) {
            throw damaged(file, at);
        }
        return new Kept(name, position, whole.slice(HEAD + nameLength, count), size);
    }

    private static FormatException damaged(Path file, long at) {
        return new FormatException(
                file,
                "is damaged at byte " + at
                        + ", so that the checkpoint beside it cannot be put back as it was before it was"
                        + " changed in place; get that checkpoint again, and delete the journal");
    }

    private static void read(Path file, FileChannel channel, ByteBuffer into, long position) throws IOException {
        while (into.hasRemaining()) {
            if (channel.read(into, position + into.position()) < 0) {
                throw new FormatException(file, "ends " + into.remaining() + " bytes early");
            }
        }
    }

    private static void write(FileChannel channel, ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            channel.write(bytes);
        }
    }

    private static void writeAt(FileChannel channel, ByteBuffer bytes, long position) throws IOException {
        long at = position;
        while (bytes.hasRemaining()) {
            at += channel.write(bytes, at);
        }
    }

    private static void flush(Path file) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
            channel.force(true);
        }
    }

    private static void flushFolder(Path folder) throws IOException {
        try (FileChannel channel = FileChannel.open(folder, StandardOpenOption.READ)) {
            channel.force(true);
        } catch (AccessDeniedException e) {
            // Windows opens no folders, and needs no flush of them
        }
    }
}
