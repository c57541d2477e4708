package dev.adapt.cli;

import dev.adapt.formats.checkpoint.Checkpoint;
import java.io.IOException;
import java.nio.file.Path;

/** Opening checkpoints for a command: what a user should know of them goes to standard error. */
final class Checkpoints {
    private Checkpoints() {}

    /** Opens a folder or a file. */
    static Checkpoint open(Path path) throws IOException {
        Checkpoint checkpoint = Checkpoint.open(path);
        checkpoint.notes().forEach(Terminal::note);
        return checkpoint;
    }
}
