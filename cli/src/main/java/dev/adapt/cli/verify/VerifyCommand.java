package dev.adapt.cli.verify;

import dev.adapt.cli.options.GivenOptions;
import dev.adapt.cli.predict.DatasetTexts;
import dev.adapt.cli.terminal.Failure;
import dev.adapt.cli.terminal.Release;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.io.Outputs;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.device.Devices;
import dev.adapt.verify.compare.Report;
import dev.adapt.verify.compare.Tolerance;
import dev.adapt.verify.form.Engine;
import dev.adapt.verify.form.Forms;
import dev.adapt.verify.form.Settings;
import dev.adapt.verify.form.Verification;
import dev.adapt.verify.runner.Device;
import dev.adapt.verify.suite.Environment;
import dev.adapt.verify.suite.Suite;
import dev.adapt.verify.suite.SuiteJson;
import dev.adapt.verify.suite.SuiteResult;
import dev.adapt.verify.suite.SuiteRun;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code adapt verify}: whether the forms of a model give the same outputs. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description =
                "Runs the forms of one model on the same inputs and compares each with each: the base with its adapter"
                        + " unmerged and the merged checkpoint on DJL, the exported model on ONNX Runtime, and a float64 reference"
                        + " in plain Java. Give at least two of --base, --merged, --gguf and --onnx, or a --suite of models. Where"
                        + " they differ, their weights are compared and the cause is named. Exit code 4 if any two differ.",
        footer = {
            "",
            "Example: adapt verify --base base --adapter my-lora --merged merged \\",
            "                      --onnx merged/model.onnx"
        })
public final class VerifyCommand implements Callable<Integer> {
    @Option(names = "--base", paramLabel = "DIR", description = "the base checkpoint")
    private Optional<Path> base = Optional.empty();

    @Option(
            names = "--adapter",
            paramLabel = "DIR",
            description =
                    "the adapter that runs beside the base; or a model whose layers share weights (LORS), without --base")
    private Optional<Path> adapter = Optional.empty();

    @Option(names = "--merged", paramLabel = "DIR", description = "a merged checkpoint; may be given several times")
    private List<Path> merged = new ArrayList<>();

    @Option(
            names = "--gguf",
            paramLabel = "FILE",
            description = "a GGUF file, read back as a checkpoint; may be given several times")
    private List<Path> gguf = new ArrayList<>();

    @Option(
            names = "--onnx",
            paramLabel = "FILE",
            description = "an ONNX model, of any exporter; may be given several times")
    private List<Path> onnx = new ArrayList<>();

    @Option(
            names = "--onnx-adapter",
            paramLabel = "FILE",
            description = "the .onnx_adapter file that is active in the first --onnx model")
    private Optional<Path> onnxAdapter = Optional.empty();

    @Option(
            names = "--data",
            paramLabel = "FILE",
            description = "compare on texts of this TSV, CSV or JSONL file, instead of random tokens")
    private Optional<Path> data = Optional.empty();

    @Option(
            names = "--text-column",
            split = ",",
            paramLabel = "COL",
            description = "column of the text, by name or number from 1; two for pairs (default: text or sentence)")
    private List<String> textColumns = new ArrayList<>();

    @Option(
            names = "--label-column",
            paramLabel = "COL",
            description = "column of the label, by name or number from 1 (default: label)")
    private Optional<String> labelColumn = Optional.empty();

    @Option(
            names = "--inputs",
            paramLabel = "N",
            defaultValue = "16",
            description = "sequences to compare on (default: ${DEFAULT-VALUE})")
    private int inputs;

    @Option(
            names = "--input-tensors",
            paramLabel = "FILE",
            description = "compare on the tensors of this safetensors file, by the names of the inputs")
    private Optional<Path> tensors = Optional.empty();

    @Option(
            names = "--thorough",
            description =
                    "run every length up to 64 and every token of the vocabulary, four times the sequences, larger batches")
    private boolean thorough;

    @Option(
            names = "--seed",
            paramLabel = "N",
            defaultValue = "0",
            description = "random seed of the tokens (default: ${DEFAULT-VALUE})")
    private long seed;

    @Option(
            names = "--tolerance",
            paramLabel = "X",
            defaultValue = "1e-4",
            description = "largest absolute difference that passes (default: ${DEFAULT-VALUE})")
    private double tolerance;

    @Option(
            names = "--tolerance-fp16",
            paramLabel = "X",
            defaultValue = "2e-2",
            description = "the same where the exported model computes in float16: over the root mean square of a row of"
                    + " outputs, or over 1 where that is less (default: ${DEFAULT-VALUE})")
    private double halfTolerance;

    @Option(
            names = "--device",
            defaultValue = "auto",
            description = "where DJL and ONNX Runtime compute: ${COMPLETION-CANDIDATES} (default: ${DEFAULT-VALUE})")
    private Devices device = Devices.AUTO;

    @Option(names = "--no-reference", description = "leave the float64 reference out")
    private boolean noReference;

    @Option(
            names = "--suite",
            paramLabel = "FILE",
            description = "verify the models that this YAML file lists, each with its inputs, tolerances and gates")
    private Optional<Path> suite = Optional.empty();

    @Mixin
    private VerifyReports reports = new VerifyReports();

    /** What the file of a suite says. */
    private static final String[] OF_ONE_MODEL = {
        "--base",
        "--adapter",
        "--merged",
        "--gguf",
        "--onnx",
        "--onnx-adapter",
        "--data",
        "--text-column",
        "--label-column",
        "--inputs",
        "--input-tensors",
        "--thorough",
        "--seed",
        "--tolerance",
        "--tolerance-fp16",
        "--device",
        "--no-reference"
    };

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    @Override
    public Integer call() throws IOException {
        if (inputs < 1) {
            throw new UsageException("--inputs: expected at least 1, found " + inputs);
        }
        GivenOptions given = new GivenOptions(spec);
        if (!reports.hasFiles()) {
            given.refuse("no report is written to a file", "--overwrite");
        }
        if (suite.isPresent()) {
            given.refuse("the file of --suite says it of each model", OF_ONE_MODEL);
            return suite(suite.get());
        }
        if (data.isEmpty()) {
            given.refuse("columns are those of --data, which is not given", "--text-column", "--label-column");
        } else {
            given.refuse("draws random tokens, and --data is given instead of these", "--seed");
        }
        if (onnx.isEmpty()) {
            given.refuse("only a model of --onnx computes in float16, and none is given", "--tolerance-fp16");
        }
        require("--tolerance", tolerance);
        require("--tolerance-fp16", halfTolerance);
        Optional<Engine.Texts> texts = data.isEmpty()
                ? Optional.empty()
                : Optional.of(new DatasetTexts(Dataset.readTexts(
                        data.get(), new Dataset.Columns(textColumns, labelColumn, Optional.empty()))));
        Settings settings = new Settings(
                inputs,
                seed,
                thorough,
                texts,
                tensors,
                new Tolerance(tolerance, halfTolerance),
                Device.valueOf(device.name()),
                !noReference,
                Optional.of(new DjlEngine(device)));
        Forms forms = new Forms(base, adapter, merged, gguf, onnx, onnxAdapter);
        Outputs outputs = reports.outputs(paths());
        long start = System.nanoTime();
        Report report = Verification.of(forms, settings, new Engine.Listener(Terminal::progress, Terminal::note));
        double seconds = (System.nanoTime() - start) / 1e9;
        if (reports.printsJson()) {
            Terminal.json(report.json());
        } else {
            Terminal.report(report);
        }
        if (reports.any()) {
            reports.write(
                    new SuiteResult(
                            "verify",
                            List.of(SuiteResult.ModelResult.of(name(), report, forms, seconds)),
                            Environment.here(),
                            seconds),
                    outputs);
        }
        return report.passed() ? 0 : Failure.NOT_EQUAL;
    }

    private String name() {
        return Stream.of(merged.stream(), onnx.stream(), gguf.stream(), base.stream(), adapter.stream())
                .flatMap(paths -> paths)
                .findFirst()
                .map(path -> String.valueOf(path.toAbsolutePath().normalize().getFileName()))
                .orElse("model");
    }

    private List<Path> paths() {
        return Stream.of(
                        merged.stream(),
                        onnx.stream(),
                        gguf.stream(),
                        base.stream(),
                        adapter.stream(),
                        onnxAdapter.stream(),
                        data.stream(),
                        tensors.stream())
                .flatMap(paths -> paths)
                .toList();
    }

    /** Verifies a suite: its file says what, and how. */
    private int suite(Path file) throws IOException {
        Suite read = Suite.read(file);
        Outputs outputs = reports.outputs(List.of(file));
        SuiteRun run = new SuiteRun(
                model -> new DjlEngine(Devices.valueOf(model.name())),
                path -> new DatasetTexts(Dataset.readTexts(path, Dataset.Columns.UNKNOWN)),
                DatasetTexts::labelled,
                name -> new Engine.Listener(
                        line -> Terminal.progress(name + ": " + line), note -> Terminal.note(name + ": " + note)));
        SuiteResult result = run.of(read);
        if (reports.printsJson()) {
            Terminal.json(SuiteJson.of(result, Release.here().version(), VerifyReports::sentence));
        } else {
            reports.print(result);
        }
        reports.write(result, outputs);
        if (result.models().stream().anyMatch(model -> model.error().isEmpty() && !model.passed())) {
            return Failure.NOT_EQUAL;
        }
        return result.firstError().map(error -> Failure.of(error).exitCode()).orElse(0);
    }

    private static void require(String option, double tolerance) {
        if (!(tolerance >= 0)) {
            throw new UsageException(option + ": expected 0 or more, found " + tolerance);
        }
    }
}
