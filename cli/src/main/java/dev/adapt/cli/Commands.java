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
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;

/** All commands, in the groups and the order in which {@code --help} lists them. */
final class Commands {
    /**
     * A command.
     *
     * @param summary what it does, in at most 60 characters
     */
    record Entry(String name, Class<?> type, String summary) {}

    /** Commands of one purpose. */
    record Group(String title, List<Entry> entries) {}

    static final List<Group> GROUPS = List.of(
            new Group(
                    "Train and merge",
                    List.of(
                            new Entry("demo", DemoCommand.class, "the whole path on a real model, in three minutes"),
                            new Entry("train", TrainCommand.class, "train an adapter, or a whole model"),
                            new Entry("merge", MergeCommand.class, "add an adapter's update to its base"),
                            new Entry("unmerge", UnmergeCommand.class, "restore the base, bit for bit"),
                            new Entry("recover", RecoverCommand.class, "undo a merge in place that was killed"),
                            new Entry("fleet", FleetCommand.class, "do one command for each of many adapters"))),
            new Group(
                    "Change adapters",
                    List.of(
                            new Entry("convert", ConvertCommand.class, "to plain LoRA, another rank, dtype or layout"),
                            new Entry("extract", ExtractCommand.class, "make an adapter of two checkpoints"),
                            new Entry("combine", CombineCommand.class, "make one adapter of several"))),
            new Group(
                    "Export and import",
                    List.of(
                            new Entry("export-onnx", ExportOnnxCommand.class, "write a checkpoint as ONNX"),
                            new Entry("export-adapter", ExportAdapterCommand.class, "write an .onnx_adapter file"),
                            new Entry("export-gguf", ExportGgufCommand.class, "write a checkpoint or a LoRA as GGUF"),
                            new Entry("import-onnx", ImportOnnxCommand.class, "turn ONNX back into a checkpoint"),
                            new Entry("import-gguf", ImportGgufCommand.class, "turn GGUF back into a checkpoint"))),
            new Group(
                    "Check and run",
                    List.of(
                            new Entry("verify", VerifyCommand.class, "compare all forms of a model on the same inputs"),
                            new Entry("evaluate", EvaluateCommand.class, "measure a model on labelled data"),
                            new Entry("predict", PredictCommand.class, "labels, numbers, entities or embeddings"),
                            new Entry("generate", GenerateCommand.class, "continue a text"))),
            new Group(
                    "Look",
                    List.of(
                            new Entry("inspect", InspectCommand.class, "list tensors, adapters and their cost"),
                            new Entry("diff", DiffCommand.class, "compare two checkpoints tensor by tensor"),
                            new Entry("analyze", AnalyzeCommand.class, "draw how an adapter's layers relate"),
                            new Entry("count", CountCommand.class, "count an adapter's parameters before training"),
                            new Entry("tables", TablesCommand.class, "recompute the papers' parameter counts"))),
            new Group(
                    "Command line",
                    List.of(
                            new Entry("help", HelpCommand.class, "show the help of a command"),
                            new Entry("completion", CompletionCommand.class, "print a completion script of a shell"))));

    /** Commands that help does not list. */
    private static final List<Entry> HIDDEN = List.of(
            new Entry("warm-up", WarmUpCommand.class, "make the launcher's class cache"),
            new Entry("work", WorkCommand.class, "do the tasks of a fleet"));

    private Commands() {}

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

    /** The list of commands for help: a title for each group, a line for each command. */
    static String list() {
        StringBuilder text = new StringBuilder();
        for (Group group : GROUPS) {
            text.append(group.title()).append(":\n");
            for (Entry entry : group.entries()) {
                text.append("  ")
                        .append(entry.name())
                        .append(" ".repeat(16 - entry.name().length()));
                text.append(entry.summary()).append('\n');
            }
        }
        return text.toString();
    }
}
