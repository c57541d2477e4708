package dev.adapt.cli.merge;

import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.checkpoint.PatchJournal;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

/** {@code adapt recover}: a checkpoint as it was before a merge in place that was stopped. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Restores a checkpoint as it was before an `adapt merge --in-place` that was killed, from the journal that"
                    + " the merge left in the checkpoint's folder.",
            "The journal is checked before anything is written: it can change nothing but tensor data of that checkpoint."
        },
        footer = {"", "Example: adapt recover base"})
public final class RecoverCommand implements Callable<Integer> {
    @Parameters(paramLabel = "CHECKPOINT", description = "checkpoint folder or .safetensors file that was merged into")
    private Path checkpoint = Path.of("");

    @Override
    public Integer call() throws IOException {
        boolean found = PatchJournal.recover(checkpoint);
        Terminal.line(checkpoint + (found ? ": as it was before the merge" : ": nothing to recover"));
        return 0;
    }
}
