package dev.adapt.cli.options;

import dev.adapt.formats.io.Outputs;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Option;

/** The one rule for what every command writes: nothing that exists is replaced unless asked, and no input ever. */
public final class OutputOptions {
    /** Options, by their long names, that name what a command writes; other paths it reads. */
    private static final Set<String> WRITTEN =
            Set.of("--out", "--out-dir", "--undo", "--report", "--html", "--junit", "--json");

    @Option(
            names = "--overwrite",
            description = "replace an existing output, but never an input or a folder with files of others")
    private boolean overwrite;

    /** Whether an option names what a command writes. */
    public static boolean isWritten(ArgSpec arg) {
        return arg instanceof OptionSpec option && WRITTEN.contains(option.longestName());
    }

    /** Whether an option or argument is a path, or several. */
    public static boolean isPath(ArgSpec arg) {
        return arg.type() == Path.class || Arrays.asList(arg.auxiliaryTypes()).contains(Path.class);
    }

    /** The outputs of a command that reads these files and folders. */
    public Outputs apartFrom(Path... inputs) throws IOException {
        return Outputs.apartFrom(List.of(inputs), overwrite);
    }

    /** The same, for inputs of which some may be missing. */
    public Outputs apartFrom(List<Path> inputs, List<Optional<Path>> more) throws IOException {
        return Outputs.apartFrom(all(inputs, more), overwrite);
    }

    /** The same, for a command that ends in order by itself when the process is asked to end. */
    public Outputs endingInOrder(List<Path> inputs, List<Optional<Path>> more) throws IOException {
        return Outputs.endingInOrder(all(inputs, more), overwrite);
    }

    private static List<Path> all(List<Path> inputs, List<Optional<Path>> more) {
        List<Path> all = new ArrayList<>(inputs);
        more.forEach(path -> path.ifPresent(all::add));
        return all;
    }
}
