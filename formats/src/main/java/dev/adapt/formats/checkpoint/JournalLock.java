package dev.adapt.formats.checkpoint;

import dev.adapt.formats.FormatException;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;

/**
 * A journal's file, open and locked. The system takes the lock back when the process ends, however it ends.
 *
 * <p>POSIX has a process lose a lock on a file when it closes <em>any</em> channel of it: no other code may open the
 * journal while it is locked. Readers of a checkpoint therefore ask only whether there is one.
 *
 * @param channel closing it ends the lock
 */
record JournalLock(Path file, FileChannel channel, FileIdentity identity) implements AutoCloseable {
    private static final int ATTEMPTS = 50;
    private static final Duration PAUSE = Duration.ofMillis(2);

    /**
     * Locks a journal, which is created if there is none.
     *
     * @param checkpoint named in errors
     * @throws FormatException if another process has locked it, or it is no regular file
     */
    static JournalLock take(Path checkpoint, Path file) throws IOException {
        for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
            try {
                Files.createFile(file);
            } catch (FileAlreadyExistsException e) {
                // of a process that is at work, or was killed
            }
            Optional<JournalLock> lock = takeExisting(checkpoint, file);
            if (lock.isPresent()) {
                return lock.get();
            }
        }
        throw busy(checkpoint, Optional.empty());
    }

    /**
     * Locks a journal; empty if there is none, or its process deletes it at this moment.
     *
     * @throws FormatException if another process has locked it, or it is no regular file
     */
    @SuppressWarnings("MustBeClosedChecker") // closed with the lock
    static Optional<JournalLock> takeExisting(Path checkpoint, Path file) throws IOException {
        try {
            FileIdentity identity = FileIdentity.of(file);
            FileChannel channel = FileChannel.open(
                    file, StandardOpenOption.READ, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS);
            try {
                requireLock(checkpoint, file, channel);
                // the process that had it may have deleted it before the lock was ours
                if (identity.equals(FileIdentity.of(file))) {
                    return Optional.of(new JournalLock(file, channel, identity));
                }
            } catch (IOException | RuntimeException e) {
                channel.close();
                throw e;
            }
            channel.close();
        } catch (NoSuchFileException e) {
            // deleted meanwhile
        }
        return Optional.empty();
    }

    private static void requireLock(Path checkpoint, Path file, FileChannel channel) throws IOException {
        try {
            if (channel.tryLock() != null) {
                return;
            }
        } catch (OverlappingFileLockException e) {
            // another thread of this process has it, which is answered the same
        }
        Optional<Long> process = JournalHeader.process(file, channel);
        // one that has just locked it writes its number a moment later
        for (int i = 0; i < ATTEMPTS && process.isEmpty(); i++) {
            LockSupport.parkNanos(PAUSE.toNanos());
            process = JournalHeader.process(file, channel);
        }
        throw busy(checkpoint, process);
    }

    private static FormatException busy(Path checkpoint, Optional<Long> process) {
        return new FormatException(
                checkpoint,
                "is being changed by "
                        + process.map(number -> "process " + number).orElse("another process")
                        + "; wait until that ends, and try again");
    }

    /** Deletes the journal, and ends the lock. */
    void delete() throws IOException {
        try (channel) {
            if (Files.exists(file, LinkOption.NOFOLLOW_LINKS) && identity.equals(FileIdentity.of(file))) {
                Files.delete(file);
            }
        }
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
