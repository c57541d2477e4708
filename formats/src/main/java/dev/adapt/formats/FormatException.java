package dev.adapt.formats;

import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/**
 * A file the user gave says something that cannot be right. The message is one sentence that names the file, the
 * tensor or field where there is one, what was expected and what was found.
 */
public final class FormatException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final transient @Nullable Path path;
    private final @Nullable String place;
    private final long offset;

    private FormatException(
            @Nullable Path path, @Nullable String place, long offset, String reason, @Nullable Throwable cause) {
        super((path == null ? "" : path + ": ") + (place == null ? "" : place + ": ") + reason, cause);
        this.path = path;
        this.place = place;
        this.offset = offset;
    }

    /** A fault of the file as a whole. */
    public FormatException(Path path, String reason) {
        this(path, null, -1, reason, null);
    }

    /** A fault of the file as a whole that another exception revealed. */
    public FormatException(Path path, String reason, Throwable cause) {
        this(path, null, -1, reason, cause);
    }

    /** A fault at a named place in the file: a tensor, a field, a line. */
    public FormatException(Path path, String place, String reason) {
        this(path, place, -1, reason, null);
    }

    /** A fault at a named place in the file, {@code offset} bytes from its start. */
    public FormatException(Path path, String place, long offset, String reason) {
        this(path, place, offset, reason, null);
    }

    /** The file at fault. */
    public Optional<Path> path() {
        return Optional.ofNullable(path);
    }

    /** The tensor, field or line at fault. */
    public Optional<String> place() {
        return Optional.ofNullable(place);
    }

    /** Bytes from the start of the file to the fault, where that is known. */
    public OptionalLong offset() {
        return offset < 0 ? OptionalLong.empty() : OptionalLong.of(offset);
    }
}
