package dev.adapt.cli;

import dev.adapt.cli.convert.CombineCommand;
import dev.adapt.cli.convert.ConvertCommand;
import dev.adapt.cli.convert.ExtractCommand;
import dev.adapt.cli.demo.DemoCommand;
import dev.adapt.cli.export.ExportAdapterCommand;
import dev.adapt.cli.export.ExportGgufCommand;
import dev.adapt.cli.export.ExportOnnxCommand;
import dev.adapt.cli.export.ImportGgufCommand;
import dev.adapt.cli.export.ImportOnnxCommand;
import dev.adapt.cli.fleet.FleetCommand;
import dev.adapt.cli.fleet.worker.WorkCommand;
import dev.adapt.cli.inspect.AnalyzeCommand;
import dev.adapt.cli.inspect.DiffCommand;
import dev.adapt.cli.inspect.InspectCommand;
import dev.adapt.cli.merge.MergeCommand;
import dev.adapt.cli.merge.RecoverCommand;
import dev.adapt.cli.merge.UnmergeCommand;
import dev.adapt.cli.predict.EvaluateCommand;
import dev.adapt.cli.predict.GenerateCommand;
import dev.adapt.cli.predict.PredictCommand;
import dev.adapt.cli.train.CountCommand;
import dev.adapt.cli.train.TablesCommand;
import dev.adapt.cli.train.TrainCommand;
import dev.adapt.cli.verify.VerifyCommand;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;

/** All commands, in the groups and the order in which {@code --help} lists them. */
final class Commands {
    /**
     * A command.
     *
     * @param summary what it does, in at most 25 characters
     */
    record Entry(String name, Class<?> type, String summary) {}

    /** Commands of one purpose. */
    record Group(String title, List<Entry> entries) {}

    /** The groups of the left and of the right column. */
    private static final List<List<Group>> COLUMNS = List.of(
            List.of(
                    new Group(
                            "Train and merge",
                            List.of(
                                    new Entry("demo", DemoCommand.class, "try it all in 3 minutes"),
                                    new Entry("train", TrainCommand.class, "train an adapter or model"),
                                    new Entry("merge", MergeCommand.class, "add an adapter to a base"),
                                    new Entry("unmerge", UnmergeCommand.class, "restore the base exactly"),
                                    new Entry("recover", RecoverCommand.class, "undo a killed merge"),
                                    new Entry("fleet", FleetCommand.class, "process many adapters"),
                                    new Entry("run", RunCommand.class, "run the steps of a recipe"))),
                    new Group(
                            "Look at files",
                            List.of(
                                    new Entry("inspect", InspectCommand.class, "show what a file holds"),
                                    new Entry("diff", DiffCommand.class, "compare two checkpoints"),
                                    new Entry("analyze", AnalyzeCommand.class, "compare adapter layers"),
                                    new Entry("count", CountCommand.class, "count parameters"),
                                    new Entry("tables", TablesCommand.class, "recompute papers' counts"))),
                    new Group(
                            "Command line",
                            List.of(
                                    new Entry("help", HelpCommand.class, "help of a command"),
                                    new Entry("completion", CompletionCommand.class, "shell completion script")))),
            List.of(
                    new Group(
                            "Change adapters",
                            List.of(
                                    new Entry("convert", ConvertCommand.class, "plain LoRA, rank, dtype"),
                                    new Entry("extract", ExtractCommand.class, "from two checkpoints"),
                                    new Entry("combine", CombineCommand.class, "several into one"))),
                    new Group(
                            "Export and import",
                            List.of(
                                    new Entry("export-onnx", ExportOnnxCommand.class, "checkpoint to ONNX"),
                                    new Entry("export-adapter", ExportAdapterCommand.class, "adapter for ONNX Runtime"),
                                    new Entry("export-gguf", ExportGgufCommand.class, "for llama.cpp"),
                                    new Entry("import-onnx", ImportOnnxCommand.class, "ONNX to checkpoint"),
                                    new Entry("import-gguf", ImportGgufCommand.class, "GGUF to checkpoint"))),
                    new Group(
                            "Check and run models",
                            List.of(
                                    new Entry("verify", VerifyCommand.class, "compare forms of a model"),
                                    new Entry("evaluate", EvaluateCommand.class, "score on labelled data"),
                                    new Entry("predict", PredictCommand.class, "labels, values, vectors"),
                                    new Entry("generate", GenerateCommand.class, "continue a text")))));

    static final List<Group> GROUPS = COLUMNS.stream().flatMap(List::stream).toList();

    /** Commands that help does not list. */
    private static final List<Entry> HIDDEN = List.of(
            new Entry("warm-up", WarmUpCommand.class, "make the launcher's class cache"),
            new Entry("work", WorkCommand.class, "do the tasks of a fleet"));

    private Commands() {}

    /** Whether a command is called by programs only. */
    static boolean isHidden(String name) {
        return HIDDEN.stream().anyMatch(entry -> entry.name().equals(name));
    }

    /** The classes of all commands by name, hidden ones at the end. */
    static SequencedMap<String, Class<?>> byName() {
        SequencedMap<String, Class<?>> byName = new LinkedHashMap<>();
        GROUPS.forEach(group -> group.entries().forEach(entry -> byName.put(entry.name(), entry.type())));
        HIDDEN.forEach(entry -> byName.put(entry.name(), entry.type()));
        return byName;
    }

    /** The names that help lists. */
    static List<String> names() {
        return GROUPS.stream()
                .flatMap(group -> group.entries().stream())
                .map(Entry::name)
                .toList();
    }

    /** The list of commands for help, in two columns: a title for each group, a line for each command. */
    static String list() {
        List<String> left = lines(COLUMNS.getFirst());
        List<String> right = lines(COLUMNS.getLast());
        int width = left.stream().mapToInt(String::length).max().orElseThrow() + 1;
        StringBuilder text = new StringBuilder();
        for (int row = 0; row < Math.max(left.size(), right.size()); row++) {
            String first = row < left.size() ? left.get(row) : "";
            String second = row < right.size() ? right.get(row) : "";
            String gap = " ".repeat(width - first.length());
            text.append((first + gap + second).stripTrailing()).append('\n');
        }
        return text.toString();
    }

    private static List<String> lines(List<Group> groups) {
        List<String> lines = new ArrayList<>();
        int width = groups.stream()
                .flatMap(group -> group.entries().stream())
                .mapToInt(entry -> entry.name().length())
                .max()
                .orElseThrow();
        for (Group group : groups) {
            lines.add(group.title() + ":");
            group.entries()
                    .forEach(entry -> lines.add("  " + entry.name()
                            + " ".repeat(width + 1 - entry.name().length()) + entry.summary()));
        }
        return lines;
    }
}
