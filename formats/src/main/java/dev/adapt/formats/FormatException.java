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
    private final @Nullable Enum<?> rule;

    private FormatException(
            Path path,
            @Nullable String place,
            long offset,
            String reason,
            @Nullable Enum<?> rule,
            @Nullable Throwable cause) {
        super(sentence(path, place, offset, reason), cause);
        this.path = path;
        this.place = place;
        this.offset = offset;
        this.rule = rule;
    }

    private static String sentence(Path path, @Nullable String place, long offset, String reason) {
        return path + ": " + (place == null ? "" : place + ": ") + reason
                + (offset < 0 ? "" : " (at byte " + offset + " of the file)");
    }

    /** A fault of the file as a whole. */
    public FormatException(Path path, String reason) {
        this(path, null, -1, reason, null, null);
    }

    /** A fault of the file as a whole that another exception revealed. */
    public FormatException(Path path, String reason, Throwable cause) {
        this(path, null, -1, reason, null, cause);
    }

    /** A fault at a named place in the file: a tensor, a field, a line. */
    public FormatException(Path path, String place, String reason) {
        this(path, place, -1, reason, null, null);
    }

    /**
     * A fault at a named place in the file, {@code offset} bytes from its start.
     *
     * @param rule the rule that is broken, where the format's reader names its rules
     */
    public FormatException(Path path, String place, long offset, String reason, Enum<?> rule) {
        this(path, place, offset, reason, rule, null);
    }

    /** The file at fault. */
    Optional<Path> path() {
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

    /** The rule of the format that is broken, where its reader names its rules. */
    public Optional<Enum<?>> rule() {
        return Optional.ofNullable(rule);
    }
}
