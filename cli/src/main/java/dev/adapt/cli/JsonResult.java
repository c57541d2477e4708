package dev.adapt.cli;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.cli.options.Described;
import dev.adapt.cli.options.JsonOption;
import dev.adapt.cli.terminal.Release;
import dev.adapt.cli.terminal.Terminal;
import java.util.concurrent.Callable;
import picocli.CommandLine.ExecutionException;
import picocli.CommandLine.Model.CommandSpec;

/**
 * {@code --json} of a command that prints lines: an object with the command's name, the version, exit code, seconds, what the
 * command describes of its result, and the lines.
 */
record JsonResult(CommandSpec command, JsonOption option) {
    int of(Callable<Integer> run) {
        long start = System.nanoTime();
        try {
            option.require();
            Terminal.Captured<Integer> done = Terminal.capture(run);
            ObjectNode root = begun(command, done.result());
            root.put("seconds", (System.nanoTime() - start) / 1e9);
            if (command.userObject() instanceof Described described) {
                described.describe(root.putObject("result"));
            }
            ArrayNode lines = root.putArray("lines");
            done.text().lines().filter(line -> !line.isBlank()).forEach(lines::add);
            option.write(root);
            if (!option.prints()) {
                Terminal.lines(done.text());
            }
            return done.result();
        } catch (ExecutionException e) {
            throw e;
        } catch (Exception e) {
            throw new ExecutionException(command.commandLine(), String.valueOf(e.getMessage()), e);
        }
    }

    /** What stands in place of a command's JSON where it fails: the error that standard error has too. */
    static ObjectNode failure(CommandSpec command, int exitCode, String sentence) {
        return begun(command, exitCode).put("error", sentence);
    }

    private static ObjectNode begun(CommandSpec command, int exitCode) {
        ObjectNode root = new JsonMapper().createObjectNode();
        root.put("command", command.qualifiedName(" ").replaceFirst("^adapt ", ""));
        root.put("version", Release.here().version());
        return root.put("exit_code", exitCode);
    }
}
