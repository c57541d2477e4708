package dev.adapt.cli;

import dev.adapt.formats.FormatException;
import dev.adapt.verify.suite.YamlNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Stack;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.IParameterPreprocessor;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;

/**
 * {@code --config FILE.yaml}: options from a file. Each field is an option's long name without the dashes; the options are put
 * where {@code --config} stood, unless they are given on the command line too.
 *
 * <pre>
 * base: base
 * method: lora
 * target: [query, value]
 * dora: true
 * </pre>
 */
final class Recipe implements IParameterPreprocessor {
    static final String OPTION = "--config";

    /** Options that a file cannot give: they are not about the work. */
    private static final List<String> NEVER = List.of(OPTION, "--help", "--version");

    /** picocli hands the arguments over as a stack, the next one on top. */
    @Override
    @SuppressWarnings("JdkObsolete") // picocli's interface
    public boolean preprocess(
            Stack<String> arguments, CommandSpec command, @Nullable ArgSpec option, Map<String, Object> info) {
        for (int at = arguments.size() - 1; at >= 0; at--) {
            String argument = arguments.get(at);
            if (argument.equals("--")) {
                break; // what follows is for another command
            }
            boolean apart = argument.equals(OPTION) && at > 0;
            String value = apart
                    ? arguments.get(at - 1)
                    : argument.startsWith(OPTION + "=") ? argument.substring(OPTION.length() + 1) : "";
            if (!value.endsWith(".yaml") && !value.endsWith(".yml")) {
                continue;
            }
            arguments.remove(at);
            if (apart) {
                arguments.remove(at - 1);
            }
            List<String> given = List.copyOf(arguments);
            List<String> words = words(Path.of(value), command, given);
            arguments.addAll(apart ? at - 1 : at, words.reversed());
            break;
        }
        return false;
    }

    private static List<String> words(Path file, CommandSpec command, List<String> given) {
        Map<String, Object> fields;
        try {
            fields = YamlNode.read(file).fields();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        List<String> words = new ArrayList<>();
        fields.forEach((name, value) -> {
            OptionSpec option = command.findOption("--" + name);
            if (option == null || NEVER.contains("--" + name)) {
                throw new FormatException(file, name, unknown(command));
            }
            boolean overridden = Arrays.stream(option.names())
                    .anyMatch(own -> given.stream().anyMatch(word -> word.equals(own) || word.startsWith(own + "=")));
            if (!overridden) {
                words.addAll(words(file, option, value));
            }
        });
        return words;
    }

    private static String unknown(CommandSpec command) {
        TreeSet<String> known = new TreeSet<>();
        command.options().forEach(option -> known.add(option.longestName()));
        known.removeAll(NEVER);
        StringBuilder text = new StringBuilder("adapt " + command.name() + " has no such option; its options are ");
        return text.append(String.join(", ", known).replace("--", "")).toString();
    }

    /** An option of a recipe as words of a command line. */
    static List<String> words(Path file, OptionSpec option, Object value) {
        String name = option.longestName();
        boolean flag = option.arity().max() == 0;
        if (value instanceof Boolean given && (flag || option.arity().min() == 0)) {
            return given ? List.of(name) : List.of();
        }
        if (flag) {
            throw new FormatException(file, name.substring(2), "expected true or false, found \"" + value + "\"");
        }
        return switch (value) {
            case List<?> list
            when !option.isMultiValue() ->
                throw new FormatException(
                        file, name.substring(2), "expected one value, found a list of " + list.size());
            case List<?> list ->
                list.stream().map(each -> name + "=" + text(file, name, each)).toList();
            case Map<?, ?> map
            when Map.class.isAssignableFrom(option.type()) ->
                map.entrySet().stream()
                        .map(own -> name + "=" + own.getKey() + "=" + text(file, name, own.getValue()))
                        .toList();
            // YAML reads an unquoted yes and no as a truth value
            case Boolean given -> List.of(name + "=" + (given ? "yes" : "no"));
            default -> List.of(name + "=" + text(file, name, value));
        };
    }

    private static String text(Path file, String name, Object value) {
        if (value instanceof Map || value instanceof List) {
            throw new FormatException(file, name.substring(2), "expected a value, found a list or mapping in it");
        }
        return String.valueOf(value);
    }
}
