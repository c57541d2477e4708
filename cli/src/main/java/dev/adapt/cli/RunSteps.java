package dev.adapt.cli;

import dev.adapt.cli.options.OutputOptions;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.verify.suite.YamlNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import picocli.CommandLine;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.ParameterException;

/**
 * The steps of a recipe, each checked as its command would be before any of them runs.
 *
 * @param file the recipe
 */
record RunSteps(Path file, List<Step> steps) {
    private static final String STEPS = "steps";

    /** The key of what a command takes without a name. */
    private static final String ARGUMENTS = "args";

    /** Commands of which a pipeline has no use, or which change their own input. */
    private static final Set<String> NO_STEPS = Set.of("run", "demo", "help", "completion", "recover", "fleet");

    private static final String CONFIG = Recipe.OPTION + "=";

    /**
     * One command.
     *
     * @param number from 1
     * @param line of the file
     * @param words its command line
     * @param inputs the files and folders that it names and does not write
     * @param outputs those that it writes
     */
    record Step(int number, int line, String command, List<String> words, List<Path> inputs, List<Path> outputs) {
        String title() {
            return "step " + number + " (" + command + ")";
        }
    }

    /**
     * Reads a recipe.
     *
     * @throws UsageException naming the step and the line, if a step is none
     */
    static RunSteps read(Path file) throws IOException {
        Map<String, Object> root = YamlNode.read(file).fields();
        Map<String, Integer> lines = YamlNode.lines(file);
        for (String key : root.keySet()) {
            if (!key.equals(STEPS)) {
                throw new UsageException(
                        file + ":" + lines.getOrDefault(key, 1) + ": a recipe has the key steps, found " + key
                                + Similar.question(Similar.to(key, List.of(STEPS))));
            }
        }
        if (!(root.get(STEPS) instanceof List<?> list) || list.isEmpty()) {
            throw new UsageException(file + ": expected a list under the key steps, such as \"steps: [merge: {…}]\"");
        }
        List<Step> steps = new ArrayList<>();
        for (Object each : list) {
            Reader reader = new Reader(file, lines, steps.size() + 1);
            Step step = reader.step(each);
            steps.add(step);
            reader.requireOwnOutputs(steps);
        }
        return new RunSteps(file, steps);
    }

    /** Reads one step. */
    private record Reader(Path file, Map<String, Integer> lines, int number) {
        Step step(Object value) {
            String place = STEPS + "[" + number + "]";
            if (!(value instanceof Map<?, ?> map) || map.size() != 1) {
                throw wrong(place, "", "expected one command with its options, such as \"- merge: {base: base, …}\"");
            }
            Map.Entry<?, ?> entry = map.entrySet().iterator().next();
            String name = String.valueOf(entry.getKey());
            String own = place + "." + name;
            List<String> allowed = Commands.names().stream()
                    .filter(each -> !NO_STEPS.contains(each))
                    .toList();
            if (!allowed.contains(name)) {
                throw wrong(own, "", name + " is no command of a recipe" + Similar.question(Similar.to(name, allowed)));
            }
            if (!(entry.getValue() instanceof Map<?, ?> options)) {
                throw wrong(own, name, "expected options by their long names under the command");
            }
            CommandSpec command = Adapt.command(name);
            List<String> words = new ArrayList<>(List.of(name));
            List<String> arguments = new ArrayList<>();
            options.forEach((key, given) -> {
                if (key.equals(ARGUMENTS) && command.findOption("--" + key) == null) {
                    (given instanceof List<?> list ? list : List.of(given))
                            .forEach(each -> arguments.add(String.valueOf(each)));
                } else {
                    words.addAll(words(own, command, String.valueOf(key), given));
                }
            });
            if (!arguments.isEmpty()) {
                words.add("--"); // an argument is never an option
                words.addAll(arguments);
            }
            return parsed(own, words);
        }

        private List<String> words(String own, CommandSpec command, String key, Object given) {
            OptionSpec option = command.findOption("--" + key);
            if (option == null || List.of("help", "version").contains(key)) {
                List<String> known = new ArrayList<>(command.options().stream()
                        .map(each -> each.longestName().substring(2))
                        .toList());
                known.add(ARGUMENTS);
                throw wrong(
                        own + "." + key,
                        command.name(),
                        "no such option: " + key + Similar.question(Similar.to(key, known)));
            }
            if (given == null) {
                throw wrong(own + "." + key, command.name(), key + " has no value");
            }
            try {
                return Recipe.words(file, option, given);
            } catch (FormatException e) {
                String message = Objects.requireNonNull(e.getMessage());
                throw wrong(own + "." + key, command.name(), message.substring((file + ": ").length()));
            }
        }

        private Step parsed(String own, List<String> words) {
            List<Path> inputs = new ArrayList<>();
            List<Path> outputs = new ArrayList<>();
            try {
                CommandLine.ParseResult parsed = Adapt.commandLine(words.getFirst())
                        .parseArgs(words.toArray(String[]::new))
                        .subcommand();
                if (parsed.hasMatchedOption("--in-place")) {
                    throw wrong(
                            own + ".in-place",
                            words.getFirst(),
                            "in-place changes the step's own input, so that it could not be run again; give out");
                }
                words.stream() // the option itself is not among those parsed: its file's options stand in its place
                        .filter(word -> word.startsWith(CONFIG))
                        .forEach(word -> inputs.add(Path.of(word.substring(CONFIG.length()))));
                for (ArgSpec each : parsed.matchedArgs()) {
                    boolean written = OutputOptions.isWritten(each) && !isUndoOfUnmerge(words.getFirst(), each);
                    if (written
                            || OutputOptions.isPath(each)
                            || each.paramLabel().contains("FILE")) {
                        each.stringValues().stream()
                                .filter(text -> !text.equals("-")) // JSON goes to standard output
                                .forEach(text -> (written ? outputs : inputs).add(Path.of(text)));
                    }
                }
            } catch (ParameterException e) {
                throw wrong(own, words.getFirst(), String.valueOf(e.getMessage()));
            }
            return new Step(number, lines.getOrDefault(own, 1), words.getFirst(), words, inputs, outputs);
        }

        /** Refuses the last step if it would replace what an earlier one reads or wrote, so that no run could be repeated. */
        void requireOwnOutputs(List<Step> steps) throws IOException {
            Step last = steps.getLast();
            for (Path output : last.outputs()) {
                Path place = real(output);
                for (Path own : List.of(file, RunRecord.of(file))) {
                    if (real(own).startsWith(place)) {
                        throw overwrites(last, output, "is or holds the recipe or its record");
                    }
                }
                for (Step step : steps) {
                    for (Path input : step.inputs()) {
                        if (real(input).startsWith(place)) {
                            throw overwrites(
                                    last, output, "is or holds " + input + ", which " + step.title() + " reads");
                        }
                    }
                }
                for (Step step : steps.subList(0, steps.size() - 1)) {
                    for (Path other : step.outputs()) {
                        if (real(other).startsWith(place)) {
                            throw overwrites(
                                    last, output, "is or holds " + other + ", which " + step.title() + " writes");
                        }
                    }
                }
            }
        }

        private UsageException overwrites(Step step, Path output, String problem) {
            return new UsageException(file + ":" + step.line() + ": " + step.title() + ": its output " + output + " "
                    + problem + "; give it a place of its own");
        }

        /** The place that a path names, though it may not exist yet. */
        private static Path real(Path path) throws IOException {
            Path absolute = path.toAbsolutePath().normalize();
            for (Path above = absolute; above != null; above = above.getParent()) {
                if (Files.exists(above)) {
                    return above.toRealPath()
                            .resolve(above.relativize(absolute))
                            .normalize();
                }
            }
            return absolute;
        }

        /** Other commands write what unmerge reads. */
        private static boolean isUndoOfUnmerge(String command, ArgSpec arg) {
            return command.equals("unmerge")
                    && arg instanceof OptionSpec option
                    && option.longestName().equals("--undo");
        }

        private UsageException wrong(String place, String command, String problem) {
            return new UsageException(file + ":" + lines.getOrDefault(place, 1) + ": step " + number
                    + (command.isEmpty() ? "" : " (" + command + ")") + ": " + problem);
        }
    }
}
