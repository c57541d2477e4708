package dev.adapt.cli;

import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.UsageException;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

/** {@code adapt help}: the help of a command, or of all. */
@Command(mixinStandardHelpOptions = true, description = "Prints the help of a command, or the list of all commands.")
final class HelpCommand implements Runnable {
    @Parameters(paramLabel = "COMMAND", arity = "0..1", description = "a command's name")
    private Optional<String> command = Optional.empty();

    @Override
    public void run() {
        if (command.isEmpty()) {
            Terminal.lines(Adapt.commandLine("--help").getUsageMessage());
            return;
        }
        String name = command.get();
        CommandLine known = Adapt.commandLine(name).getSubcommands().get(name);
        if (known == null) {
            List<String> like = Similar.to(name, Commands.names());
            throw new UsageException("no such command: " + name + Similar.question(like));
        }
        Terminal.lines(known.getUsageMessage());
    }
}
