package dev.adapt.cli;

import dev.adapt.cli.terminal.Terminal;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.Objects;
import java.util.concurrent.Callable;
import picocli.AutoComplete;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Parameters;

/** {@code adapt completion}: completion scripts. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = "Prints a script that completes adapt's commands and options in a shell.",
        footer = {
            "",
            "Examples: source <(adapt completion bash)",
            "          adapt completion zsh >>~/.zshrc",
            "          adapt completion fish >~/.config/fish/completions/adapt.fish"
        })
final class CompletionCommand implements Callable<Integer> {
    private static final String NAME = "adapt";

    /** The shells. */
    enum Shell {
        BASH,
        ZSH,
        FISH;

        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    @Parameters(paramLabel = "SHELL", description = "${COMPLETION-CANDIDATES}")
    private Shell shell = Shell.BASH;

    @Override
    public Integer call() {
        CommandLine all = Adapt.commandLine();
        all.getSubcommands().values().forEach(command -> CommandHelp.prepare(command.getCommandSpec()));
        Terminal.lines(
                switch (shell) {
                    case BASH, ZSH -> AutoComplete.bash(NAME, all); // it loads bashcompinit itself where zsh reads it
                    case FISH -> fish(all);
                });
        return 0;
    }

    private static String fish(CommandLine all) {
        StringBuilder text = new StringBuilder("complete -c " + NAME + " -f\n");
        for (Commands.Group group : Commands.GROUPS) {
            for (Commands.Entry entry : group.entries()) {
                text.append("complete -c " + NAME + " -n __fish_use_subcommand -a ")
                        .append(entry.name())
                        .append(" -d ")
                        .append(quoted(entry.summary()))
                        .append('\n');
                CommandSpec command = Objects.requireNonNull(
                                all.getSubcommands().get(entry.name()))
                        .getCommandSpec();
                command.options().stream()
                        .filter(option -> !option.hidden())
                        .forEach(option -> text.append(fish(entry.name(), option)));
                if (!command.positionalParameters().isEmpty()) {
                    text.append("complete -c " + NAME + " -n '__fish_seen_subcommand_from " + entry.name() + "' -F\n");
                }
            }
        }
        return text.toString();
    }

    private static String fish(String command, OptionSpec option) {
        StringBuilder line =
                new StringBuilder("complete -c " + NAME + " -n '__fish_seen_subcommand_from " + command + "'");
        for (String name : option.names()) {
            line.append(name.startsWith("--") ? " -l " + name.substring(2) : " -s " + name.substring(1));
        }
        Iterable<String> candidates = option.completionCandidates();
        if (option.arity().max() > 0) {
            line.append(option.arity().min() > 0 ? " -r" : "");
            if (candidates != null) {
                line.append(" -a ").append(quoted(String.join(" ", candidates)));
            } else if (isPath(option)) {
                line.append(" -F");
            }
        }
        String description = String.join(" ", option.description());
        return line.append(" -d ")
                .append(quoted(firstWords(description)))
                .append('\n')
                .toString();
    }

    private static boolean isPath(OptionSpec option) {
        return option.type() == Path.class
                || Arrays.asList(option.auxiliaryTypes()).contains(Path.class);
    }

    /** What fits beside a name in a list. */
    private static String firstWords(String description) {
        String plain = description.replaceAll("\\$\\{[^}]*}", "").strip();
        int end = plain.length() <= 60 ? plain.length() : Math.max(1, plain.lastIndexOf(' ', 60));
        return plain.substring(0, end);
    }

    private static String quoted(String text) {
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'";
    }
}
