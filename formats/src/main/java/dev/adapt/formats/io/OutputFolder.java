package dev.adapt.formats.io;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Set;
import java.util.stream.Stream;

/**
 * A folder that appears under its final name only when all in it is whole. It is written beside that name, in the same
 * file system; {@link #commit()} flushes it to the disk and renames it; closing without a commit deletes it.
 */
public final class OutputFolder implements AutoCloseable {
    private final Outputs outputs;
    private final Path temporary;
    private final Path target;
    private final Path place;
    private final Set<String> names;
    private boolean committed;

    OutputFolder(Outputs outputs, Path temporary, Path target, Path place, Set<String> names) {
        this.outputs = outputs;
        this.temporary = temporary;
        this.target = target;
        this.place = place;
        this.names = Set.copyOf(names);
    }

    void create() throws IOException {
        Files.createDirectory(temporary);
    }

    /** The folder to write in until the commit. */
    public Path path() {
        return temporary;
    }

    /** Its final name. */
    Path target() {
        return target;
    }

    /** Writes a file in it, as UTF-8. */
    public void text(String name, String text) throws IOException {
        bytes(name, text.getBytes(StandardCharsets.UTF_8));
    }

    /** Writes a file in it. */
    public void bytes(String name, byte[] bytes) throws IOException {
        Path file = temporary.resolve(name);
        try {
            Files.write(file, bytes, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
        } catch (IOException e) {
            throw OutputFile.unwritable(file, e);
        }
    }

    /**
     * Flushes what was written to the disk and gives it its final name.
     *
     * @throws dev.adapt.formats.FormatException if a file it was made from changed meanwhile
     * @throws IOException if either fails; what exists under the final name is then what existed before
     */
    public void commit() throws IOException {
        commit(true);
    }

    /**
     * Gives what was written its final name.
     *
     * @param flush whether to flush it to the disk first; without, a power cut may leave files that are not whole
     * @throws dev.adapt.formats.FormatException if a file it was made from changed meanwhile
     * @throws IOException if either fails; what exists under the final name is then what existed before
     */
    public void commit(boolean flush) throws IOException {
        if (flush) {
            try (Stream<Path> written = Files.walk(temporary)) {
                for (Path file : (Iterable<Path>) written.filter(Files::isRegularFile)::iterator) {
                    OutputFile.flush(file, file);
                }
            }
        }
        outputs.commit(temporary, place, this::rename);
        committed = true;
        if (flush) {
            OutputFile.flushFolder(place);
        }
    }

    private void rename() throws IOException {
        if (!outputs.overwrites() || !Files.isDirectory(place)) {
            try {
                // the system renames a folder onto an empty one, and onto nothing else
                Files.move(temporary, place, StandardCopyOption.ATOMIC_MOVE);
            } catch (DirectoryNotEmptyException e) {
                throw filledMeanwhile(e);
            } catch (FileSystemException e) {
                throw Files.exists(place) ? filledMeanwhile(e) : e;
            }
            return;
        }
        outputs.requireReplaceable(place, names);
        Path old = outputs.aside(place);
        try {
            Files.move(place, old, StandardCopyOption.ATOMIC_MOVE);
        } catch (NoSuchFileException e) {
            throw filledMeanwhile(e);
        }
        try {
            Files.move(temporary, place, StandardCopyOption.ATOMIC_MOVE);
        } catch (FileSystemException e) {
            throw putBack(old) ? e : filledMeanwhile(e);
        }
        outputs.delete(old);
    }

    /** Gives what was to be replaced its name again; false if another program has replaced it meanwhile. */
    private boolean putBack(Path old) throws IOException {
        try {
            Files.move(old, place, StandardCopyOption.ATOMIC_MOVE);
            return true;
        } catch (DirectoryNotEmptyException | FileAlreadyExistsException e) {
            outputs.delete(old);
            return false;
        }
    }

    private IOException filledMeanwhile(FileSystemException cause) {
        FileSystemException named = new FileSystemException(
                target.toString(), null, "was filled by another program meanwhile, and is not replaced");
        named.initCause(cause);
        return named;
    }

    @Override
    public void close() throws IOException {
        if (!committed) {
            outputs.delete(temporary);
        }
    }
}
