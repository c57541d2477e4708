package dev.adapt.formats.checkpoint;

import dev.adapt.formats.FormatException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;
import java.util.Optional;

/** What a change of a file changes: its size, its time of modification or its identity. */
record FileStamp(Path file, long size, FileTime modified, Optional<Object> key) {
    static FileStamp of(Path file) throws IOException {
        BasicFileAttributes now = Files.readAttributes(file, BasicFileAttributes.class);
        return new FileStamp(file, now.size(), now.lastModifiedTime(), Optional.ofNullable(now.fileKey()));
    }

    /**
     * Checks that the file is what it was.
     *
     * @throws FormatException if it was changed or replaced since
     */
    void requireUnchanged() throws IOException {
        if (!equals(of(file))) {
            throw new FormatException(
                    file, "was changed while it was read, so that what was made of it was dropped; try again");
        }
    }
}
