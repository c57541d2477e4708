package dev.adapt.cli.terminal;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.checkpoint.UnfinishedChangeException;
import java.io.EOFException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.AccessDeniedException;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.FileSystemLoopException;
import java.nio.file.InvalidPathException;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import org.jspecify.annotations.Nullable;

/**
 * What the user is told of an exception: one sentence, and the exit code that says whose fault it was.
 *
 * @param ours whether it is a bug of adapt, so that a stack trace is of use
 */
public record Failure(String sentence, int exitCode, boolean ours) {
    /** A bug of adapt. */
    static final int BUG = 1;

    /** An option or argument that cannot be. */
    public static final int BAD_USAGE = 2;

    /** A file that cannot be read, written or believed; or a machine with too little memory or disk. */
    public static final int BAD_INPUT = 3;

    /** A verification that found a difference. */
    public static final int NOT_EQUAL = 4;

    private static final String NO_SPACE = "No space left on device";

    public static Failure of(Throwable thrown) {
        return switch (thrown) {
            case UsageException e ->
                usage(e.setting().map(name -> "--" + name + ": ").orElse("") + e.problem());
            case FormatException e -> input(message(e));
            case UncheckedIOException e when e.getCause() != null -> of(e.getCause());
            case UnfinishedChangeException e ->
                input(e.getFile() + ": " + e.getReason() + "; wait if that merge still runs, else undo it with `adapt"
                        + " recover " + e.getFile() + "` or start `adapt merge --in-place` again");
            case CompletionException e when e.getCause() != null -> of(e.getCause());
            case ExecutionException e when e.getCause() != null -> of(e.getCause());
            case DirectoryNotEmptyException e ->
                usage(e.getFile() + ": the output folder is not empty; give a new one, or --overwrite to replace it");
            case FileAlreadyExistsException e ->
                usage(place(e) + ": "
                        + or(e.getReason(), "exists already; give another name, or --overwrite to replace it"));
            case FileSystemException e -> input(place(e) + ": " + reason(e));
            case InvalidPathException e -> input(e.getInput() + ": cannot be a file's name: " + e.getReason());
            case CharacterCodingException e -> input("a text is not valid UTF-8 (" + message(e) + ")");
            case EOFException e -> input("a file ends too early" + (e.getMessage() == null ? "" : ": " + message(e)));
            case IOException e
            when message(e).contains(NO_SPACE) ->
                input("no space left on the disk that the output is written to; make room, or write elsewhere");
            case IOException e -> input(message(e));
            case OutOfMemoryError e ->
                input("out of memory (" + message(e) + "): give the JVM more with JAVA_TOOL_OPTIONS=-Xmx…");
            case InternalError e
            when message(e).contains("unsafe memory access") ->
                input("a file became shorter while it was read, or its disk failed: " + message(e));
            default -> new Failure("internal error: " + thrown + "; this is a bug in adapt", BUG, true);
        };
    }

    private static Failure usage(String sentence) {
        return new Failure(sentence, BAD_USAGE, false);
    }

    /** A file that cannot be read, written or believed, or a machine that fails. */
    public static Failure input(String sentence) {
        return new Failure(sentence, BAD_INPUT, false);
    }

    private static String place(FileSystemException e) {
        String file = or(e.getFile(), "a file");
        return e.getOtherFile() == null ? file : file + " to " + e.getOtherFile();
    }

    private static String reason(FileSystemException e) {
        return switch (e) {
            case NoSuchFileException _ -> or(e.getReason(), "no such file");
            case AccessDeniedException _ -> or(e.getReason(), "permission denied");
            case NotDirectoryException _ -> "is a file, expected a folder";
            case FileSystemLoopException _ -> "symbolic links lead in a circle";
            case AtomicMoveNotSupportedException _ -> "cannot be renamed: the two are in different file systems";
            default ->
                or(e.getReason(), "cannot be read or written").contains(NO_SPACE)
                        ? "no space left on its disk"
                        : or(e.getReason(), "cannot be read or written");
        };
    }

    private static String message(Throwable thrown) {
        return or(thrown.getMessage(), thrown.getClass().getSimpleName());
    }

    private static String or(@Nullable String text, String otherwise) {
        return text == null || text.isBlank() ? otherwise : text;
    }
}
