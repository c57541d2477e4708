package dev.adapt.formats.checkpoint;

import java.nio.file.FileSystemException;
import java.nio.file.Path;

/**
 * A checkpoint that cannot be read, because a change of it in place has not ended: another process is at work on it, or
 * was stopped. {@link PatchJournal#recover} undoes what a stopped one did.
 */
public final class UnfinishedChangeException extends FileSystemException {
    private static final long serialVersionUID = 1L;

    /**
     * Names the checkpoint and the journal.
     *
     * @param checkpoint the folder or file to recover
     */
    UnfinishedChangeException(Path checkpoint, Path journal) {
        super(
                checkpoint.toString(),
                journal.toString(),
                "a change of it in place has not ended, as " + journal + " says, and it may be half changed");
    }
}
