package dev.adapt.cli;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Model.PositionalParamSpec;

/**
 * The same layout of help for all commands: a short synopsis, options in the order of declaration, values of enum options in
 * lower case.
 */
final class CommandHelp {
    /** Options of every command, which its help lists last. */
    private static final Set<String> EVERYWHERE =
            Set.of("--overwrite", "--json", Recipe.OPTION, "--quiet", "--no-color", "--help", "--version");

    /** Columns beside the heading "Usage: ". */
    private static final int SYNOPSIS_WIDTH = 72;

    private CommandHelp() {}

    /**
     * Rewrites a command's options for its help and for completion: in the order of declaration, those of every command last.
     * Values are read in any case anyhow.
     */
    static void prepare(CommandSpec command) {
        boolean hasOwnConfig = !command.mixins().containsKey(Adapt.RECIPE);
        List<OptionSpec> options = command.options().stream()
                .sorted(Comparator.comparing(option -> EVERYWHERE.contains(option.longestName())
                        && !(option.longestName().equals(Recipe.OPTION) && hasOwnConfig)))
                .toList();
        options.forEach(command::remove);
        options.forEach(option -> command.add(readable(option)));
        command.usageMessage().sortOptions(false);
        if (command.parent() != null) {
            command.usageMessage().customSynopsis(synopsis(command));
        }
    }

    private static OptionSpec readable(OptionSpec option) {
        Optional<Class<?>> type = enumType(option);
        OptionSpec.Builder renamed = OptionSpec.builder(option);
        if (option.paramLabel().startsWith("<") && option.arity().max() > 0) {
            renamed.paramLabel(type.isPresent() ? label(option) : "N");
        }
        if (type.isPresent() && option.completionCandidates() != null) {
            renamed.completionCandidates(Arrays.stream(type.get().getEnumConstants())
                    .map(value -> value.toString().toLowerCase(Locale.ROOT))
                    .toList());
        }
        return renamed.build();
    }

    /** What must be given, and that there are options: all of these would be ten lines. */
    private static String[] synopsis(CommandSpec command) {
        List<String> words = new ArrayList<>(List.of(command.qualifiedName()));
        List<String> last = new ArrayList<>();
        for (PositionalParamSpec word : command.positionalParameters()) {
            String many = word.arity().max() > 1 ? "..." : "";
            String label = word.paramLabel() + many;
            boolean afterOptions = label.startsWith("--");
            (afterOptions ? last : words).add(word.arity().min() == 0 ? "[" + label + "]" : label);
        }
        if (!command.subcommands().isEmpty()) {
            words.add("COMMAND");
        }
        command.options().stream()
                .filter(OptionSpec::required)
                .forEach(option -> words.add(option.longestName() + " " + option.paramLabel()));
        words.add("[OPTIONS]");
        words.addAll(last);
        List<String> lines = new ArrayList<>();
        StringBuilder line = new StringBuilder();
        for (String word : words) {
            if (line.length() + word.length() >= SYNOPSIS_WIDTH) {
                lines.add(line.toString());
                line = new StringBuilder("   ");
            }
            line.append(line.isEmpty() ? "" : " ").append(word);
        }
        lines.add(line.toString());
        return lines.toArray(String[]::new);
    }

    private static Optional<Class<?>> enumType(OptionSpec option) {
        if (option.type().isEnum()) {
            return Optional.of(option.type());
        }
        return Arrays.stream(option.auxiliaryTypes())
                .<Class<?>>map(type -> type)
                .filter(Class::isEnum)
                .findFirst();
    }

    private static String label(OptionSpec option) {
        return option.longestName().substring(2).toUpperCase(Locale.ROOT);
    }
}
