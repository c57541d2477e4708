package dev.adapt.cli.options;

import dev.adapt.formats.UsageException;
import java.util.List;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;

/** The options that the user typed, whatever their defaults: those that a command would ignore are refused. */
public record GivenOptions(CommandSpec spec) {
    /**
     * Makes sure that none of some options is given.
     *
     * @param why what makes them useless here
     * @throws UsageException if one is
     */
    public void refuse(String why, String... names) {
        List<String> given = spec.commandLine().getParseResult().matchedOptions().stream()
                .map(OptionSpec::longestName)
                .filter(List.of(names)::contains)
                .toList();
        if (!given.isEmpty()) {
            throw new UsageException(
                    String.join(", ", given) + ": " + why + "; leave " + (given.size() == 1 ? "it" : "them") + " out");
        }
    }
}
