package dev.adapt.formats;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A file or folder that appears under its final name only when it is whole. It is written beside that name, in the same
 * file system; {@link #commit()} flushes it to the disk and renames it; closing without a commit deletes it.
 */
public final class PendingOutput implements AutoCloseable {
    private final Path target;
    private final Path temporary;
    private boolean committed;

    private PendingOutput(Path target, Path temporary) {
        this.target = target;
        this.temporary = temporary;
    }

    /**
     * A file to be; an existing file of that name is replaced on commit.
     *
     * @throws IOException if the folder it belongs in cannot be made or written to
     */
    public static PendingOutput file(Path target) throws IOException {
        Path absolute = target.toAbsolutePath();
        if (Files.isDirectory(absolute)) {
            throw new FileAlreadyExistsException(target.toString(), null, "is a folder, expected a file name");
        }
        return new PendingOutput(target, besideOf(absolute));
    }

    /**
     * A folder to be. The target must not exist, or be an empty folder.
     *
     * @throws DirectoryNotEmptyException if the target holds something already
     */
    public static PendingOutput folder(Path target) throws IOException {
        Path absolute = target.toAbsolutePath();
        if (Files.exists(absolute)) {
            if (!Files.isDirectory(absolute)) {
                throw new FileAlreadyExistsException(target.toString(), null, "is a file, expected a folder name");
            }
            try (Stream<Path> inside = Files.list(absolute)) {
                if (inside.findAny().isPresent()) {
                    throw new DirectoryNotEmptyException(target.toString());
                }
            }
        }
        PendingOutput pending = new PendingOutput(target, besideOf(absolute));
        Files.createDirectory(pending.temporary);
        return pending;
    }

    private static Path besideOf(Path absolute) throws IOException {
        @Nullable Path parent = absolute.getParent();
        @Nullable Path name = absolute.getFileName();
        if (parent == null || name == null) {
            throw new FileAlreadyExistsException(absolute.toString(), null, "is the root of a file system");
        }
        Files.createDirectories(parent);
        return parent.resolve("." + name + "." + ProcessHandle.current().pid() + ".tmp");
    }

    /** Where to write until the commit. */
    public Path path() {
        return temporary;
    }

    /**
     * Flushes what was written to the disk and gives it its final name.
     *
     * @throws IOException if either fails; nothing then stands under the final name that did not before
     */
    public void commit() throws IOException {
        commit(true);
    }

    /**
     * Gives what was written its final name.
     *
     * @param flush whether to flush it to the disk first; without, a power cut may leave a file that is not whole
     * @throws IOException if either fails; nothing then stands under the final name that did not before
     */
    public void commit(boolean flush) throws IOException {
        if (flush) {
            flush();
        }
        Files.move(temporary, target.toAbsolutePath(), StandardCopyOption.ATOMIC_MOVE);
        committed = true;
    }

    private void flush() throws IOException {
        try (Stream<Path> written = Files.walk(temporary)) {
            for (Path file : (Iterable<Path>) written.filter(Files::isRegularFile)::iterator) {
                try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
                    channel.force(true);
                }
            }
        }
    }

    @Override
    public void close() throws IOException {
        if (!committed && Files.exists(temporary)) {
            delete(temporary);
        }
    }

    private static void delete(Path tree) throws IOException {
        Files.walkFileTree(tree, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                Files.delete(file);
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path folder, @Nullable IOException failure) throws IOException {
                if (failure != null) {
                    throw failure;
                }
                Files.delete(folder);
                return FileVisitResult.CONTINUE;
            }
        });
    }
}
