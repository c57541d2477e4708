package dev.adapt.cli.fleet.worker;

import dev.adapt.cli.terminal.Terminal;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

/** {@code adapt work}: the worker of a fleet, which whoever runs it speaks to in lines of JSON. */
@Command(
        hidden = true,
        mixinStandardHelpOptions = true,
        description =
                "Does the tasks on standard input, a line of JSON each, and answers on standard output with a line for"
                        + " each adapter. Ends when standard input ends, or with the process that started it.")
public final class WorkCommand implements Callable<Integer> {
    @Override
    public Integer call() throws IOException {
        try (BufferedReader tasks = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
                Worker worker = new Worker(outcome -> Terminal.jsonLine(outcome.line()))) {
            worker.run(tasks);
        }
        return 0;
    }
}
