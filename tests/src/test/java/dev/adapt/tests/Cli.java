package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.adapt.cli.Adapt;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import picocli.CommandLine;

/** Runs the command line in this JVM, as a user would in a shell. */
record Cli(int exitCode, String output, String errors) {
    /** Runs what must succeed. */
    static Cli succeeds(Object... args) {
        Cli result = run(args);
        assertEquals(0, result.exitCode(), result.errors());
        return result;
    }

    static Cli run(Object... args) {
        String[] words = new String[args.length];
        for (int i = 0; i < words.length; i++) {
            words[i] = args[i].toString();
        }
        StringWriter errors = new StringWriter();
        CommandLine commandLine = Adapt.commandLine(words).setErr(new PrintWriter(errors));
        ByteArrayOutputStream output = new ByteArrayOutputStream();
        PrintStream out = System.out;
        try {
            System.setOut(new PrintStream(output, true, StandardCharsets.UTF_8));
            int exitCode = commandLine.execute(words);
            return new Cli(exitCode, output.toString(StandardCharsets.UTF_8), errors.toString());
        } finally {
            System.setOut(out);
        }
    }
}
