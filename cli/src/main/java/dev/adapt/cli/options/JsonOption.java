package dev.adapt.cli.options;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.cli.terminal.Printable;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.io.OutputFile;
import dev.adapt.formats.io.Outputs;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Stack;
import picocli.CommandLine.IParameterPreprocessor;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.Spec;

/** {@code --json}: the result as one JSON object, in place of the text or, with a file's name, beside it in that file. */
public final class JsonOption {
    /** What the option is without a file. */
    private static final String PRINT = "-";

    @Spec(Spec.Target.MIXEE)
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    @Option(
            names = "--json",
            arity = "0..1",
            paramLabel = "FILE.json",
            fallbackValue = PRINT,
            preprocessor = OnlyJson.class,
            description = "print the result as JSON; with a file's name, write it there")
    private Optional<Path> json = Optional.empty();

    /** Says whose option it is where it is added without an annotation; picocli then sets no {@code @Spec}. */
    public JsonOption of(CommandSpec command) {
        spec = command;
        return this;
    }

    /** Leaves a word that is no file for JSON to the command: {@code adapt inspect --json base}. */
    static final class OnlyJson implements IParameterPreprocessor {
        @Override
        @SuppressWarnings("JdkObsolete") // picocli's interface
        public boolean preprocess(Stack<String> words, CommandSpec command, ArgSpec option, Map<String, Object> info) {
            boolean attached = "=".equals(info.get("separator")); // else a space
            if (!attached && (words.isEmpty() || !words.peek().endsWith(".json"))) {
                words.push(PRINT);
            }
            return false;
        }
    }

    /** Whether there is JSON to be made. */
    public boolean isGiven() {
        return json.isPresent();
    }

    /** Whether standard output gets JSON, and then nothing else. */
    public boolean prints() {
        return json.filter(path -> path.toString().equals(PRINT)).isPresent();
    }

    /** The file to write, if there is one. */
    public Optional<Path> file() {
        return prints() ? Optional.empty() : json;
    }

    /** Makes sure, before a command runs for minutes, that the file can be written. */
    public void require() throws IOException {
        if (file().isPresent()) {
            try {
                outputs().requireFile(file().get());
            } catch (FileAlreadyExistsException e) {
                throw exists(e);
            }
        }
    }

    /** Whether a command line asks for JSON on standard output, of any command. */
    public static boolean printsIn(ParseResult parsed) {
        return parsed.hasMatchedOption("--json")
                && parsed.matchedOption("--json").stringValues().contains(PRINT);
    }

    /** Prints the result or writes it to the file; does nothing without the option. */
    public void write(JsonNode result) throws IOException {
        if (prints()) {
            Terminal.json(result);
        } else if (file().isPresent()) {
            try (OutputFile pending = outputs().file(file().get())) {
                pending.text(Printable.json(result.toPrettyString()) + "\n");
                pending.commit();
            } catch (FileAlreadyExistsException e) {
                throw exists(e);
            }
        }
    }

    private Outputs outputs() throws IOException {
        ParseResult parsed = spec.commandLine().getParseResult();
        List<Path> read = new ArrayList<>();
        for (ArgSpec each : parsed.matchedArgs()) {
            if (OutputOptions.isPath(each) && !OutputOptions.isWritten(each)) {
                each.stringValues().forEach(text -> read.add(Path.of(text)));
            }
        }
        return Outputs.apartFrom(read, parsed.hasMatchedOption("--overwrite"));
    }

    private FileAlreadyExistsException exists(FileAlreadyExistsException e) {
        return spec.findOption("--overwrite") != null || e.getReason() != null
                ? e
                : new FileAlreadyExistsException(e.getFile(), null, "exists already; give another name");
    }
}
