package dev.adapt.formats.io;

import dev.adapt.formats.FormatException;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import org.jspecify.annotations.Nullable;

/**
 * A file to read, checked before it is opened: a regular file (no folder, pipe or device), and no link that leads out of
 * the folder in which it was found. Its {@link #snapshot} tells later whether it changed meanwhile.
 */
public final class InputFile {
    private final Path path;
    private final Snapshot snapshot;

    private InputFile(Path path, BasicFileAttributes attributes) {
        this.path = path;
        this.snapshot = Snapshot.of(path, attributes);
    }

    /**
     * A file that the user named himself. If it is a link, it may lead anywhere.
     *
     * @throws NoSuchFileException if it does not exist
     * @throws FormatException if it is no regular file
     */
    public static InputFile named(Path path) throws IOException {
        return new InputFile(path, regular(path));
    }

    /**
     * A file that was found in its folder, and not named by the user.
     *
     * @throws NoSuchFileException if it does not exist
     * @throws FormatException if it is no regular file, or a link out of its folder
     */
    public static InputFile found(Path path) throws IOException {
        return within(path.toAbsolutePath().resolveSibling(""), path);
    }

    /**
     * A file that was found in a folder or in a folder below it.
     *
     * @throws NoSuchFileException if it does not exist
     * @throws FormatException if it is no regular file, or lies outside of the folder once all links are followed
     */
    public static InputFile within(Path folder, Path path) throws IOException {
        BasicFileAttributes attributes = regular(path);
        requireInside(folder, path);
        return new InputFile(path, attributes);
    }

    private static BasicFileAttributes regular(Path path) throws IOException {
        BasicFileAttributes attributes;
        try {
            attributes = Files.readAttributes(path, BasicFileAttributes.class);
        } catch (NoSuchFileException e) {
            throw Files.isSymbolicLink(path)
                    ? new NoSuchFileException(path.toString(), null, "is a link to a file that does not exist")
                    : e;
        }
        if (attributes.isDirectory()) {
            throw new FormatException(path, "is a folder, expected a file");
        }
        if (!attributes.isRegularFile()) {
            throw new FormatException(path, "is a pipe or a device, expected a regular file");
        }
        return attributes;
    }

    private static void requireInside(Path folder, Path path) throws IOException {
        Path real = path.toRealPath();
        Path home = folder.toRealPath();
        if (!real.startsWith(home) && !HubCache.isBlob(home, real)) {
            throw new FormatException(
                    path,
                    "is a link out of its folder, to " + real
                            + "; expected a file in the folder: copy it there if you trust it");
        }
    }

    /** The file's path, as it was given. */
    public Path path() {
        return path;
    }

    /** The file's state when it was checked. */
    public Snapshot snapshot() {
        return snapshot;
    }

    /** Opens it to read. The caller closes the channel. */
    @SuppressWarnings("MustBeClosedChecker") // closed by the caller
    public FileChannel open() throws IOException {
        return FileChannel.open(path, StandardOpenOption.READ);
    }

    /** Opens it to read from its beginning. The caller closes the stream. */
    public InputStream stream() throws IOException {
        return Channels.newInputStream(open());
    }

    /** All its bytes as memory that the system fills when it is read; valid until the arena is closed. */
    public MemorySegment map(Arena arena) throws IOException {
        try (FileChannel channel = open()) {
            return channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena);
        }
    }

    /**
     * All its bytes.
     *
     * @throws FormatException if they are more than the limit, or the file changes while it is read
     */
    public byte[] bytes(Limit limit) throws IOException {
        requireAtMost(limit);
        byte[] bytes = new byte[(int) snapshot.size()];
        try (FileChannel channel = open()) {
            boolean whole = WholeIo.read(channel, ByteBuffer.wrap(bytes), 0);
            if (!whole || channel.size() != bytes.length) {
                throw new FormatException(
                        path, "had " + bytes.length + " bytes, and another number while it was read; run it again");
            }
        }
        return bytes;
    }

    /**
     * Returns if the file is within a limit, for code that reads it by itself.
     *
     * @throws FormatException if it is longer
     */
    public void requireAtMost(Limit limit) {
        if (snapshot.size() > limit.bytes()) {
            throw new FormatException(
                    path,
                    "has " + snapshot.size() + " bytes, more than the " + limit.bytes() + " that are read of "
                            + limit.title());
        }
    }

    /**
     * Its text.
     *
     * @throws FormatException if it is longer than the limit or not valid UTF-8
     */
    public String text(Limit limit) throws IOException {
        byte[] bytes = bytes(limit);
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(bytes))
                    .toString();
        } catch (CharacterCodingException e) {
            throw new FormatException(path, "is not valid UTF-8", e);
        }
    }

    /**
     * Copies it to a file that does not exist yet.
     *
     * @throws FormatException if it changes while it is copied
     */
    public void copyTo(Path target) throws IOException {
        Files.copy(path, target);
        snapshot.requireUnchanged();
    }

    /**
     * Explains an error that a change of input files may have caused. The system takes the pages of a mapped file away when
     * another program makes the file shorter, and reads end early.
     *
     * @return the error of the first file that changed
     * @throws T the given error, if none did
     */
    public static <T extends Throwable> RuntimeException explain(T error, Iterable<Snapshot> files)
            throws IOException, T {
        for (Snapshot snapshot : files) {
            @Nullable FormatException found = change(snapshot);
            if (found != null) {
                found.addSuppressed(error);
                return found;
            }
        }
        throw error;
    }

    private static @Nullable FormatException change(Snapshot snapshot) throws IOException {
        try {
            snapshot.requireUnchanged();
            return null;
        } catch (FormatException e) {
            return e;
        }
    }
}
