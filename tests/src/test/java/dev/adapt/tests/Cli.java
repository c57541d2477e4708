package dev.adapt.tests;

import dev.adapt.cli.Adapt;
import java.io.PrintWriter;
import java.io.StringWriter;
import picocli.CommandLine;

/** Runs the command line in this JVM, as a user would in a shell. */
record Cli(int exitCode, String errors) {
    static Cli run(Object... args) {
        String[] words = new String[args.length];
        for (int i = 0; i < words.length; i++) {
            words[i] = args[i].toString();
        }
        StringWriter errors = new StringWriter();
        CommandLine commandLine = Adapt.commandLine().setErr(new PrintWriter(errors));
        return new Cli(commandLine.execute(words), errors.toString());
    }
}
