package dev.adapt.cli.inspect;

import dev.adapt.cli.options.Adapters;
import dev.adapt.cli.options.Checkpoints;
import dev.adapt.cli.options.OutputOptions;
import dev.adapt.cli.report.AnalysisReport;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.io.Outputs;
import dev.adapt.merge.analysis.Conditioning;
import dev.adapt.merge.convert.AdapterLayers;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code adapt analyze}: whether an adapter's layers depend on their weights in one way. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Compares the layers of an adapter as the CondLoRA paper does: finds, by pseudo-inverse, the matrices that map each"
                    + " frozen weight to its A and B, and measures how similar their subspaces are between layers, beside"
                    + " random matrices.",
            "With two adapters it also compares their A, B and ΔW.",
            "Writes report.html, analysis.json, and each heat map as SVG and PNG."
        },
        footer = {"", "Example: adapt analyze my-lora --base base --out analysis"})
public final class AnalyzeCommand implements Callable<Integer> {
    @Parameters(arity = "1..*", paramLabel = "ADAPTER", description = "an adapter folder, and one to compare it with")
    private List<Path> adapters = List.of();

    @Option(names = "--base", required = true, paramLabel = "DIR", description = "the checkpoint they were trained on")
    private Path base = Path.of("");

    @Option(names = "--out", required = true, paramLabel = "DIR", description = "folder to write")
    private Path out = Path.of("");

    @Option(
            names = "--directions",
            paramLabel = "N",
            description = "number of singular directions to compare, i and j of φ (default: the rank)")
    private Optional<Integer> directions = Optional.empty();

    @Option(
            names = "--seed",
            paramLabel = "N",
            defaultValue = "0",
            description = "random seed of the matrices to compare with (default: ${DEFAULT-VALUE})")
    private long seed;

    @Option(names = "--no-png", negatable = false, description = "write the maps as SVG only")
    private boolean noPng;

    @Option(names = "--force", description = "accept a base that the adapter was not trained on")
    private boolean force;

    @Mixin
    private OutputOptions output = new OutputOptions();

    @Override
    public Integer call() throws IOException {
        if (adapters.size() > 2) {
            throw new UsageException("analyze compares one adapter or two, found " + adapters.size());
        }
        List<Path> inputs = new ArrayList<>(adapters);
        inputs.add(base);
        Outputs outputs = output.apartFrom(inputs, List.of());
        Conditioning conditioning = new Conditioning(directions, seed);
        try (Checkpoint checkpoint = Checkpoints.open(base)) {
            List<AdapterLayers> layers = new ArrayList<>();
            List<String> names = new ArrayList<>();
            for (Path folder : adapters) {
                Adapter adapter = Adapters.read(folder);
                layers.add(AdapterLayers.of(adapter, checkpoint, force));
                names.add(folder.getFileName() + " (" + adapter.method().title() + ")");
            }
            List<Conditioning.Conversions> conversions = conditioning.ofLayers(layers.getFirst(), checkpoint);
            List<Conditioning.Likeness> likenesses =
                    layers.size() < 2 ? List.of() : conditioning.ofAdapters(layers.getFirst(), layers.getLast());
            String subtitle = String.join(", compared with ", names) + " on " + base.getFileName();
            AnalysisReport report = new AnalysisReport(subtitle, conversions, likenesses, !noPng);
            outputs.madeFrom(checkpoint.snapshots());
            report.write(out, outputs);
            Terminal.lines(report.text() + "\n");
            Terminal.line(out.resolve("report.html") + " shows the maps");
        }
        return 0;
    }
}
