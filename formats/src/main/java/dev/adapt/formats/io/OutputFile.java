package dev.adapt.formats.io;

import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/**
 * A file that appears under its final name only when it is whole. It is written beside that name, in the same file system;
 * {@link #commit()} flushes it to the disk and renames it; closing without a commit deletes it.
 */
public final class OutputFile implements AutoCloseable {
    private final Outputs outputs;
    private final Path temporary;
    private final Path target;
    private boolean committed;

    OutputFile(Outputs outputs, Path temporary, Path target) {
        this.outputs = outputs;
        this.temporary = temporary;
        this.target = target;
    }

    /** Where to write until the commit. Nothing exists there yet: create it exclusively. */
    public Path path() {
        return temporary;
    }

    /** Its final name. */
    public Path target() {
        return target;
    }

    /** Creates the file, to write through a channel. The caller closes it before the commit. */
    @SuppressWarnings("MustBeClosedChecker") // closed by the caller
    public FileChannel open() throws IOException {
        return FileChannel.open(temporary, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
    }

    /** Creates the file, to write through a stream whose errors name it. The caller closes it before the commit. */
    public OutputStream stream() throws IOException {
        OutputStream plain = Files.newOutputStream(temporary, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
        return new FilterOutputStream(plain) {
            @Override
            public void write(int value) throws IOException {
                write(new byte[] {(byte) value}, 0, 1);
            }

            @Override
            public void write(byte[] bytes, int from, int count) throws IOException {
                try {
                    out.write(bytes, from, count);
                } catch (IOException e) {
                    throw unwritable(target, e);
                }
            }
        };
    }

    /** Writes the whole file as UTF-8. */
    public void text(String text) throws IOException {
        try (OutputStream stream = stream()) {
            stream.write(text.getBytes(StandardCharsets.UTF_8));
        }
    }

    /** The error for a file that cannot be written: the system's reason says what is the matter, and not where. */
    public static IOException unwritable(Path file, IOException cause) {
        if (cause instanceof FileSystemException) {
            return cause;
        }
        FileSystemException named = new FileSystemException(
                Temporaries.shown(file).toString(),
                null,
                "cannot be written (" + cause.getMessage() + "); make room for it, or write elsewhere");
        named.initCause(cause);
        return named;
    }

    /**
     * Flushes what was written to the disk and gives it its final name.
     *
     * @throws dev.adapt.formats.FormatException if a file it was made from changed meanwhile
     * @throws IOException if either fails; nothing then exists under the final name that did not before
     */
    public void commit() throws IOException {
        commit(true);
    }

    /**
     * Gives what was written its final name.
     *
     * @param flush whether to flush it to the disk first; without, a power cut may leave a file that is not whole
     * @throws dev.adapt.formats.FormatException if a file it was made from changed meanwhile
     * @throws IOException if either fails; nothing then exists under the final name that did not before
     */
    public void commit(boolean flush) throws IOException {
        if (flush) {
            flush(temporary, target);
        }
        outputs.commit(temporary, target, this::rename);
        committed = true;
        if (flush) {
            flushFolder(target);
        }
    }

    private void rename() throws IOException {
        Path place = target.toAbsolutePath();
        if (outputs.overwrites() || !link(place)) {
            Files.move(temporary, place, StandardCopyOption.ATOMIC_MOVE);
        } else {
            Files.delete(temporary);
        }
    }

    /**
     * Gives the file a second name. Unlike a new name in place of the old one, the system gives it only where nothing
     * has that name: of two programs that write one file, the later one is told.
     *
     * @return false if the file system has no second names
     */
    private boolean link(Path place) throws IOException {
        try {
            Files.createLink(place, temporary);
            return true;
        } catch (FileAlreadyExistsException e) {
            throw madeMeanwhile();
        } catch (UnsupportedOperationException | FileSystemException e) {
            if (Files.exists(place, LinkOption.NOFOLLOW_LINKS)) {
                throw madeMeanwhile();
            }
            return false;
        }
    }

    private FileAlreadyExistsException madeMeanwhile() {
        return new FileAlreadyExistsException(
                target.toString(), null, "was made by another program meanwhile, and is not replaced");
    }

    static void flush(Path file, Path shown) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
            channel.force(true);
        } catch (IOException e) {
            throw unwritable(shown, e);
        }
    }

    /** Has the disk take the new name too. */
    static void flushFolder(Path target) throws IOException {
        Path parent = target.toAbsolutePath().getParent();
        if (parent == null) {
            return;
        }
        try (FileChannel channel = FileChannel.open(parent, StandardOpenOption.READ)) {
            channel.force(true);
        } catch (IOException e) {
            // Windows opens no folders, and some file systems flush none: the file itself is on the disk
            return;
        }
    }

    @Override
    public void close() throws IOException {
        if (!committed) {
            outputs.delete(temporary);
        }
    }
}
