package dev.adapt.formats.io;

import dev.adapt.formats.FormatException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;

/**
 * The state of a file at one moment. A second snapshot that is equal means that the file was neither changed nor replaced
 * meanwhile, unless a writer set the old time again or wrote within one tick of the file system's clock (some
 * milliseconds).
 *
 * @param size in bytes
 * @param modified when its content last changed
 * @param identity device and inode where the file system has them, else empty
 */
public record Snapshot(Path path, long size, FileTime modified, String identity) {
    static Snapshot of(Path path, BasicFileAttributes attributes) {
        Object key = attributes.fileKey();
        return new Snapshot(
                path, attributes.size(), attributes.lastModifiedTime(), key == null ? "" : String.valueOf(key));
    }

    /**
     * The state of a file now; links are followed.
     *
     * @throws IOException if it does not exist or cannot be seen
     */
    public static Snapshot of(Path path) throws IOException {
        return of(path, Files.readAttributes(path, BasicFileAttributes.class));
    }

    /**
     * Returns if the file is still in this state.
     *
     * @throws FormatException if it was removed, replaced or changed
     */
    public void requireUnchanged() throws IOException {
        Snapshot now;
        try {
            now = of(path);
        } catch (NoSuchFileException e) {
            throw new FormatException(path, "was removed while it was read; nothing was written", e);
        }
        if (!now.identity.equals(identity)) {
            throw new FormatException(
                    path, "was replaced by another file while it was read; nothing was written, run the command again");
        }
        if (!now.equals(this)) {
            throw new FormatException(
                    path,
                    "was changed while it was read (" + state() + ", then " + now.state()
                            + "); nothing was written, run the command again when no program writes to it");
        }
    }

    private String state() {
        return size + " bytes of " + modified;
    }
}
