package dev.adapt.cli;

import dev.adapt.formats.UsageException;
import dev.adapt.train.Dataset;
import dev.adapt.train.Devices;
import dev.adapt.verify.Report;
import dev.adapt.verify.Tolerance;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code adapt verify}: whether the forms of a model give the same. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description =
                "Runs the forms of one model on the same inputs and compares each with each: the base with its adapter"
                        + " unmerged and the merged checkpoint on DJL, the exported model on ONNX Runtime, and a float64 reference"
                        + " in plain Java. Give at least two of --base, --merged, --gguf and --onnx. Exit code 4 if any two differ.",
        footer = {"", "Example: adapt verify --base base --adapter my-lora --merged merged --onnx merged/model.onnx"})
final class VerifyCommand implements Callable<Integer> {
    @Option(names = "--base", paramLabel = "DIR", description = "the base checkpoint")
    private Optional<Path> base = Optional.empty();

    @Option(
            names = "--adapter",
            paramLabel = "DIR",
            description =
                    "the adapter that runs beside the base; or a model whose layers share weights (LORS), without --base")
    private Optional<Path> adapter = Optional.empty();

    @Option(names = "--merged", paramLabel = "DIR", description = "the merged checkpoint")
    private Optional<Path> merged = Optional.empty();

    @Option(names = "--gguf", paramLabel = "FILE", description = "the GGUF file, read back as a checkpoint")
    private Optional<Path> gguf = Optional.empty();

    @Option(names = "--onnx", paramLabel = "FILE", description = "the exported model")
    private Optional<Path> onnx = Optional.empty();

    @Option(
            names = "--onnx-adapter",
            paramLabel = "FILE",
            description = "the .onnx_adapter file that is active in the exported model")
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
            description = "name, or number from 1, or two of them for pairs (text or sentence)")
    private List<String> textColumns = new ArrayList<>();

    @Option(names = "--label-column", paramLabel = "COL", description = "name, or number from 1 (label)")
    private Optional<String> labelColumn = Optional.empty();

    @Option(
            names = "--inputs",
            paramLabel = "N",
            defaultValue = "16",
            description = "sequences to compare on (${DEFAULT-VALUE})")
    private int inputs;

    @Option(names = "--seed", paramLabel = "N", defaultValue = "0", description = "of random tokens (${DEFAULT-VALUE})")
    private long seed;

    @Option(
            names = "--tolerance",
            paramLabel = "X",
            defaultValue = "1e-4",
            description = "largest absolute difference of two equal outputs (${DEFAULT-VALUE})")
    private double tolerance;

    @Option(
            names = "--tolerance-fp16",
            paramLabel = "X",
            defaultValue = "2e-2",
            description = "the same where the exported model computes in float16: over the root mean square of a row of"
                    + " outputs, or over 1 where that is less (${DEFAULT-VALUE})")
    private double halfTolerance;

    @Option(
            names = "--device",
            defaultValue = "auto",
            description = "of DJL and ONNX Runtime: ${COMPLETION-CANDIDATES} (${DEFAULT-VALUE})")
    private Devices device = Devices.AUTO;

    @Option(names = "--no-reference", description = "leave the float64 reference out")
    private boolean noReference;

    @Option(names = "--json", description = "print JSON")
    private boolean json;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    @Override
    public Integer call() throws IOException {
        if (inputs < 1) {
            throw new UsageException("--inputs: expected at least 1, found " + inputs);
        }
        GivenOptions given = new GivenOptions(spec);
        if (data.isEmpty()) {
            given.refuse("columns are those of --data, which is not given", "--text-column", "--label-column");
        } else {
            given.refuse("draws random tokens, and --data is given instead of these", "--seed");
        }
        require("--tolerance", tolerance);
        require("--tolerance-fp16", halfTolerance);
        Verification.Settings settings = new Verification.Settings(
                inputs,
                seed,
                data.map(file ->
                        new Verification.Texts(file, new Dataset.Columns(textColumns, labelColumn, Optional.empty()))),
                new Tolerance(tolerance, halfTolerance),
                device,
                !noReference);
        Verification.Forms forms = new Verification.Forms(base, adapter, merged, gguf, onnx, onnxAdapter);
        Report report = Verification.of(forms, settings, Terminal::progress);
        if (json) {
            Terminal.json(report.json());
        } else {
            Terminal.report(report);
        }
        return report.passed() ? 0 : Failure.NOT_EQUAL;
    }

    private static void require(String option, double tolerance) {
        if (!(tolerance >= 0)) {
            throw new UsageException(option + ": expected 0 or more, found " + tolerance);
        }
    }
}
