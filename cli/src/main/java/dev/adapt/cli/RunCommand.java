package dev.adapt.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.cli.options.Described;
import dev.adapt.cli.terminal.Printable;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.cli.terminal.TextTable;
import dev.adapt.formats.io.Outputs;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentSkipListMap;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code adapt run}: the commands of a recipe, of which those whose inputs are as they were are skipped. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Runs the commands that a YAML file lists under steps, in order. A step is skipped if its outputs exist and its"
                    + " options, the content of its inputs and the version of adapt are those of its last run. A step that"
                    + " fails ends the run with its exit code.",
            "RECIPE.record.json beside the recipe records what each step did. A step replaces only files that the record"
                    + " lists and nobody has changed since."
        },
        footer = {
            "",
            "Example:  steps:",
            "            - train: {base: base, method: lora, data: train.tsv,",
            "                      eval: dev.tsv, out: my-lora}",
            "            - merge: {args: my-lora, base: base, out: merged}",
            "            - export-onnx: {args: merged, out: merged/model.onnx}",
            "            - verify: {merged: merged, onnx: merged/model.onnx}"
        })
public final class RunCommand implements Callable<Integer>, Described {
    @Parameters(paramLabel = "RECIPE", description = "the YAML file; args gives what a command takes without a name")
    private Path recipe = Path.of("");

    @Option(names = "--all", description = "skip nothing")
    private boolean all;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    private @Nullable RunRecord record;

    @Override
    public Integer call() throws Exception {
        RunSteps read = RunSteps.read(recipe);
        try (RunRecord run = RunRecord.open(read)) {
            record = run;
            return call(read, run);
        }
    }

    private int call(RunSteps read, RunRecord run) throws Exception {
        TextTable report = new TextTable("step", "command", "result", "time");
        for (RunSteps.Step step : read.steps()) {
            ObjectNode key = run.key(step);
            Optional<JsonNode> done = all ? Optional.empty() : run.done(step, key);
            if (done.isPresent()) {
                run.add(((ObjectNode) done.get().deepCopy()).put("skipped", true));
                report.row(step.number(), step.command(), "skipped: nothing has changed", "–");
                continue;
            }
            Terminal.progress(step.title() + " of " + read.steps().size());
            long start = System.nanoTime();
            int exitCode = execute(step, key, run);
            double seconds = (System.nanoTime() - start) / 1e9;
            String result = exitCode == 0 ? "done" : "failed with exit code " + exitCode;
            report.row(step.number(), step.command(), result, String.format("%.1f s", seconds));
            if (exitCode != 0) {
                Terminal.table(report);
                PrintWriter err = spec.commandLine().getErr();
                err.println("adapt: "
                        + Printable.message(recipe + ":" + step.line() + ": " + step.title() + " " + result
                                + "; later steps were not run"));
                err.flush();
                return exitCode;
            }
        }
        run.write();
        Terminal.table(report);
        return 0;
    }

    private int execute(RunSteps.Step step, ObjectNode key, RunRecord run) throws Exception {
        List<String> words = new ArrayList<>(step.words());
        if (Adapt.command(step.command()).findOption("--overwrite") != null) {
            boolean asked = words.contains("--overwrite");
            boolean replaces = !asked && run.replaces(step);
            if (replaces) {
                words.add(1, "--overwrite");
            }
            if (asked || replaces) {
                run.clear(step);
            }
        }
        Map<Path, List<Path>> committed = new ConcurrentSkipListMap<>();
        long start = System.nanoTime();
        Terminal.Captured<Integer> done = Outputs.listening(
                path -> committed.put(path, listed(path)),
                () -> Terminal.capture(() -> Adapt.commandLine(step.command())
                        .setErr(spec.commandLine().getErr())
                        .execute(words.toArray(String[]::new))));
        Terminal.lines(done.text());
        ObjectNode result = new JsonMapper().createObjectNode();
        result.set("key", key);
        result.put("skipped", false);
        result.put("exit_code", done.result());
        result.put("seconds", (System.nanoTime() - start) / 1e9);
        step.outputs().stream().map(Path::toString).forEach(result.putArray("outputs")::add);
        done.text().lines().filter(line -> !line.isBlank()).forEach(result.putArray("lines")::add);
        run.add(result);
        run.wrote(committed);
        run.write();
        return done.result();
    }

    /** What a command wrote, listed before anyone else can add to it. */
    private static List<Path> listed(Path committed) {
        try {
            return RunRecord.files(committed);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public void describe(ObjectNode result) {
        if (record != null) {
            result.put("record", record.file().toString());
            result.set("steps", record.steps());
        }
    }
}
