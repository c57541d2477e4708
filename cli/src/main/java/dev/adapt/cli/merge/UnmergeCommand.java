package dev.adapt.cli.merge;

import dev.adapt.cli.options.Checkpoints;
import dev.adapt.cli.options.OutputOptions;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.merge.undo.Unmerger;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code adapt unmerge}: the base again, from what was merged. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Restores the base of a merge, bit for bit, from the merged checkpoint and the undo file that"
                    + " `adapt merge --undo FILE` wrote.",
            "Digests of what it begins with and of what it restores are checked."
        },
        footer = {"", "Example: adapt unmerge merged --undo merged.undo --out base"})
public final class UnmergeCommand implements Callable<Integer> {
    @Parameters(paramLabel = "MERGED", description = "checkpoint folder or .safetensors file")
    private Path mergedPath = Path.of("");

    @Option(names = "--undo", required = true, paramLabel = "FILE", description = "the undo file of its merge")
    private Path undo = Path.of("");

    @Option(
            names = "--out",
            required = true,
            paramLabel = "DIR|FILE",
            description = "folder to write, or a .safetensors file where MERGED is one")
    private Path out = Path.of("");

    @Mixin
    private OutputOptions output = new OutputOptions();

    @Override
    public Integer call() throws IOException {
        try (Checkpoint merged = Checkpoints.open(mergedPath);
                Unmerger unmerger = new Unmerger(merged, undo)) {
            unmerger.unmerge(out, output.apartFrom(mergedPath, undo));
            Terminal.line(out + ": the base, " + unmerger.restored() + " tensors restored and checked");
        }
        return 0;
    }
}
