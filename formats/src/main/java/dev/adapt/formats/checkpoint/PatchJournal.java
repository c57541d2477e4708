package dev.adapt.formats.checkpoint;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.WholeIo;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashSet;
import java.util.Optional;
import java.util.Set;

/**
 * What makes it safe to change a checkpoint's files in place: the bytes that will be overwritten are first written here
 * and flushed, and only then is a file touched. Whoever changes the checkpoint next, or recovers it, and finds a journal
 * puts them back, so that after a crash at any point the files are what they were; when all changes are on the disk, the
 * journal is deleted, and they are what they were to become. There is nothing between. Who only reads the checkpoint
 * changes nothing, and stops at a journal.
 *
 * <p>The file, {@value #FILE} in the checkpoint's folder, all numbers little-endian. 32 bytes of header: {@code adaptjn2};
 * the number of the process (8); the journal's size once files may have been changed, 0 before (8); CRC-32C of the first
 * and the third (4); 4 zeros. Then records: kind (1); length of a file's name (2); position (8); length of the content
 * (4); the name, UTF-8; the content; CRC-32C of all this (4). A record of kind 3 says which file is changed: position is
 * the file's size, content its inode. One of kind 4 keeps its bytes at a position. The device is not recorded, since a
 * restart may give it another number: it must be the journal's. Order on the disk: header, flush; records, flush; size,
 * flush, flush of the folder; changes, flush of each file; deletion, flush of the folder.
 *
 * <p>The process that works holds a lock on the journal from before it opens the checkpoint: what it read is what it
 * changes.
 */
public final class PatchJournal implements AutoCloseable {
    /** The journal's name. */
    public static final String FILE = ".adapt-journal";

    private final Path checkpoint;
    private final JournalLock lock;
    private final Set<String> shards;
    private final boolean recovered;
    private final Set<Path> touched = new LinkedHashSet<>();
    private long length = JournalHeader.BYTES;
    private boolean ready;
    private boolean closed;

    private PatchJournal(Path checkpoint, JournalLock lock, Set<String> shards, boolean recovered) {
        this.checkpoint = checkpoint;
        this.lock = lock;
        this.shards = shards;
        this.recovered = recovered;
    }

    /**
     * Locks a checkpoint in order to change it. What a change that was stopped has left is undone first.
     *
     * @param checkpoint a folder or a file, to be opened afterwards: {@link Checkpoint#open(PatchJournal)}
     * @throws FormatException if another process changes it, or the journal that is there cannot be replayed
     */
    public static PatchJournal begin(Path checkpoint) throws IOException {
        Set<String> shards = Checkpoint.shards(checkpoint);
        JournalLock lock = JournalLock.take(checkpoint, file(checkpoint));
        boolean recovered;
        try {
            recovered = replay(lock, shards);
        } catch (IOException | RuntimeException e) {
            lock.close();
            throw e;
        }
        PatchJournal journal = new PatchJournal(checkpoint, lock, shards, recovered);
        try {
            lock.channel().truncate(0);
            JournalHeader.own(0).write(lock.channel());
            lock.channel().force(true);
            return journal;
        } catch (IOException | RuntimeException e) {
            journal.close();
            throw e;
        }
    }

    /**
     * Puts back what a change that was stopped has overwritten in a checkpoint, if there is such a change.
     *
     * @return whether there was one
     * @throws FormatException if another process is at it, or the journal is damaged or refused; it is then left as it is
     */
    public static boolean recover(Path checkpoint) throws IOException {
        Set<String> shards = Checkpoint.shards(checkpoint);
        Path file = file(checkpoint);
        Optional<JournalLock> found = JournalLock.takeExisting(checkpoint, file);
        if (found.isEmpty()) {
            return false;
        }
        try (JournalLock lock = found.get()) {
            replay(lock, shards);
            lock.delete();
        }
        flushFolder(file);
        return true;
    }

    /** Whether it had to be replayed. */
    private static boolean replay(JournalLock lock, Set<String> shards) throws IOException {
        Optional<JournalHeader> header = JournalHeader.read(lock.file(), lock.channel());
        if (header.isEmpty() || header.get().length() == 0) {
            return false;
        }
        JournalReplay.run(lock, header.get(), shards);
        return true;
    }

    /**
     * Checks that no change of a checkpoint is at work or was stopped.
     *
     * @throws UnfinishedChangeException if there is a journal, of whatever kind
     */
    static void requireNone(Path checkpoint, Path file) throws UnfinishedChangeException {
        Path journal = file.resolveSibling(FILE);
        if (Files.exists(journal, LinkOption.NOFOLLOW_LINKS)) {
            throw new UnfinishedChangeException(checkpoint, journal);
        }
    }

    /** Where a checkpoint's journal is. */
    private static Path file(Path checkpoint) throws IOException {
        Path folder = Files.isDirectory(checkpoint) ? checkpoint : checkpoint.resolveSibling(".");
        return folder.toRealPath().resolve(FILE);
    }

    /** The checkpoint that is locked. */
    public Path checkpoint() {
        return checkpoint;
    }

    /** Whether a change that was stopped had to be undone first. */
    boolean recovered() {
        return recovered;
    }

    /**
     * Writes down bytes of a file of the checkpoint that will be overwritten.
     *
     * @throws FormatException if it is a link
     */
    public void keep(Path file, long position, long bytes) throws IOException {
        String name = String.valueOf(file.getFileName());
        Path own = lock.file().resolveSibling(name);
        if (!shards.contains(name)) {
            throw new IllegalArgumentException(file + " is not a file of " + checkpoint);
        }
        if (touched.add(own)) {
            String inode = FileIdentity.of(own).inode();
            append(JournalReader.target(name, inode, Files.size(own)));
        }
        try (FileChannel source = FileChannel.open(own, StandardOpenOption.READ, LinkOption.NOFOLLOW_LINKS)) {
            for (long done = 0; done < bytes; done += JournalReader.PIECE) {
                ByteBuffer piece = ByteBuffer.allocate((int) Math.min(JournalReader.PIECE, bytes - done));
                WholeIo.read(own, source, piece, position + done);
                append(JournalReader.kept(name, position + done, piece.flip()));
            }
        }
    }

    /** Flushes what was kept. From here on the files may be changed, where bytes of them were kept. */
    public void ready() throws IOException {
        lock.channel().force(true);
        JournalHeader.own(length).write(lock.channel());
        lock.channel().force(true);
        flushFolder(lock.file());
        ready = true;
    }

    private void append(ByteBuffer record) throws IOException {
        long size = record.remaining();
        try {
            WholeIo.write(lock.channel(), record, length);
            length += size;
        } catch (IOException e) {
            FileSystemException named = new FileSystemException(
                    lock.file().toString(),
                    null,
                    "cannot be written (" + e.getMessage()
                            + "): it needs room for all bytes that a merge in place changes;"
                            + " make room for it, or merge to another place");
            named.initCause(e);
            throw named;
        }
    }

    /** Flushes the changed files and deletes the journal: the changes stay. */
    public void commit() throws IOException {
        for (Path file : touched) {
            flush(file);
        }
        end();
    }

    /** Without a {@link #commit}, puts back what was changed. Where that fails, the journal stays. */
    @Override
    public void close() throws IOException {
        if (closed) {
            return;
        }
        try (lock) {
            if (ready) {
                JournalReplay.run(lock, JournalHeader.own(length), shards);
            }
            end();
        }
    }

    private void end() throws IOException {
        closed = true;
        lock.delete();
        flushFolder(lock.file());
    }

    private static void flush(Path file) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
            channel.force(true);
        }
    }

    private static void flushFolder(Path journal) throws IOException {
        try (FileChannel channel = FileChannel.open(journal.resolveSibling("."), StandardOpenOption.READ)) {
            channel.force(true);
        } catch (AccessDeniedException e) {
            // Windows opens no folders, and needs no flush of them
        }
    }
}
