package dev.adapt.cli;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;

/** Names the values of enum options in lower case and their parameters by the option, where an annotation does not. */
final class LowerCase {
    private LowerCase() {}

    /** Replaces such options of a command, for its help and for completion. Values are read in any case anyhow. */
    static void values(CommandSpec command) {
        for (OptionSpec option : List.copyOf(command.options())) {
            Optional<Class<?>> type = enumType(option);
            boolean unnamed =
                    option.paramLabel().startsWith("<") && option.arity().max() > 0;
            if (type.isEmpty() && !unnamed) {
                continue;
            }
            OptionSpec.Builder renamed = OptionSpec.builder(option);
            if (unnamed) {
                renamed.paramLabel(type.isPresent() ? label(option) : "N");
            }
            if (type.isPresent() && option.completionCandidates() != null) {
                renamed.completionCandidates(Arrays.stream(type.get().getEnumConstants())
                        .map(value -> value.toString().toLowerCase(Locale.ROOT))
                        .toList());
            }
            command.remove(option);
            command.add(renamed.build());
        }
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
