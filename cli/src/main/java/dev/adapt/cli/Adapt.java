package dev.adapt.cli;

import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/** The root of the command line. */
@Command(
        name = "adapt",
        version = "adapt 0.1.0",
        mixinStandardHelpOptions = true,
        synopsisSubcommandLabel = "COMMAND",
        description = "Trains, merges, exports and verifies low-rank adapters.",
        subcommands = Adapt.WarmUp.class)
public final class Adapt {
    private Adapt() {}

    public static void main(String[] args) throws IOException {
        openStandardError();
        System.exit(new CommandLine(new Adapt()).execute(args));
    }

    /** The launcher may start Java with standard error closed, and then says where it is. */
    private static void openStandardError() throws IOException {
        String path = System.getProperty("adapt.stderr");
        if (path != null) {
            System.setErr(new PrintStream(new FileOutputStream(path, true), true, System.err.charset()));
        }
    }

    /** What the launcher runs once after a build: the ahead-of-time cache holds the classes that this run loads. */
    @Command(name = "warm-up", hidden = true)
    static final class WarmUp implements Runnable {
        @Override
        public void run() {
            new CommandLine(new Adapt()).execute("--help");
        }
    }
}
