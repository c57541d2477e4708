package dev.adapt.cli.options;

import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.PatchJournal;
import java.io.IOException;
import java.nio.file.Path;

/** Opening checkpoints for a command: what a user should know of them goes to standard error. */
public final class Checkpoints {
    private Checkpoints() {}

    /** Opens a folder or a file. */
    public static Checkpoint open(Path path) throws IOException {
        return noted(Checkpoint.open(path));
    }

    /** Opens what a journal has locked. */
    public static Checkpoint open(PatchJournal journal) throws IOException {
        return noted(Checkpoint.open(journal));
    }

    private static Checkpoint noted(Checkpoint checkpoint) {
        checkpoint.notes().forEach(Terminal::note);
        return checkpoint;
    }
}
