package dev.adapt.cli;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import org.jspecify.annotations.Nullable;

/**
 * What the user is told of an exception: one sentence, and the exit code that says whose fault it was.
 *
 * @param ours whether it is a bug of adapt, so that a stack trace is of use
 */
record Failure(String sentence, int exitCode, boolean ours) {
    /** A bug of adapt. */
    static final int BUG = 1;

    /** An option or argument that cannot be. */
    static final int BAD_USAGE = 2;

    /** A file that cannot be read, written or believed. */
    static final int BAD_INPUT = 3;

    /** A verification that found a difference. */
    static final int NOT_EQUAL = 4;

    static Failure of(Throwable thrown) {
        return switch (thrown) {
            case UsageException e -> new Failure(message(e), BAD_USAGE, false);
            case FormatException e -> new Failure(message(e), BAD_INPUT, false);
            case UncheckedIOException e when e.getCause() != null -> of(e.getCause());
            case NoSuchFileException e ->
                new Failure(e.getFile() + ": " + or(e.getReason(), "no such file"), BAD_INPUT, false);
            case DirectoryNotEmptyException e ->
                new Failure(
                        e.getFile() + ": the output folder is not empty; give a new one, or --overwrite to replace it",
                        BAD_USAGE,
                        false);
            case FileAlreadyExistsException e ->
                new Failure(
                        e.getFile() + ": "
                                + or(e.getReason(), "exists already; give another name, or --overwrite to replace it"),
                        BAD_USAGE,
                        false);
            case AccessDeniedException e -> new Failure(e.getFile() + ": permission denied", BAD_INPUT, false);
            case FileSystemException e ->
                new Failure(e.getFile() + ": " + or(e.getReason(), "cannot be read or written"), BAD_INPUT, false);
            case IOException e -> new Failure(message(e), BAD_INPUT, false);
            case OutOfMemoryError e ->
                new Failure(
                        "out of memory (" + message(e) + "): give the JVM more with JAVA_TOOL_OPTIONS=-Xmx…",
                        BAD_INPUT,
                        false);
            default -> new Failure("internal error: " + thrown + "; this is a bug in adapt", BUG, true);
        };
    }

    private static String message(Throwable thrown) {
        return or(thrown.getMessage(), thrown.getClass().getSimpleName());
    }

    private static String or(@Nullable String text, String otherwise) {
        return text == null || text.isBlank() ? otherwise : text;
    }
}
