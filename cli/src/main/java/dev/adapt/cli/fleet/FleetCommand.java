package dev.adapt.cli.fleet;

import dev.adapt.cli.terminal.Terminal;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code adapt fleet}: one command over many adapters of one base. */
@Command(
        mixinStandardHelpOptions = true,
        synopsisSubcommandLabel = "COMMAND",
        subcommands = {
            FleetMergeCommand.class,
            FleetConvertCommand.class,
            FleetExportCommand.class,
            FleetVerifyCommand.class,
            FleetEvaluateCommand.class
        },
        description = {
            "Does one command for each of many adapters of one base, with several worker processes.",
            "manifest.jsonl in the output folder records what became of each adapter. Exit code 3 if some failed, 4 if"
                    + " some did not verify."
        })
public final class FleetCommand implements Runnable {
    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    @Override
    public void run() {
        Terminal.lines(spec.commandLine().getUsageMessage());
    }
}
