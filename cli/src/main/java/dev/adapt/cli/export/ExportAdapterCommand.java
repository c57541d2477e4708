package dev.adapt.cli.export;

import dev.adapt.cli.options.Adapters;
import dev.adapt.cli.options.Checkpoints;
import dev.adapt.cli.options.OutputOptions;
import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.export.OnnxAdapter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code adapt export-adapter}: an adapter as a file that an ONNX Runtime session switches to. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Writes an adapter as ONNX Runtime's .onnx_adapter file, for a base exported with `export-onnx --adapter-inputs`:"
                    + " one session then serves many adapters of any rank, and switches between them from run to run.",
            "Every method of low rank becomes its two factors for each layer, scale folded in (VeRA: its projection"
                    + " too); modules that the adapter holds whole, such as a classification head, are in it as well."
        },
        footer = {"", "Example: adapt export-adapter my-lora --base base --out my-lora.onnx_adapter"})
public final class ExportAdapterCommand implements Callable<Integer> {
    @Parameters(paramLabel = "ADAPTER", description = "the adapter folder")
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private Path path;

    @Option(names = "--base", paramLabel = "DIR", required = true, description = "the checkpoint it was trained on")
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private Path base;

    @Option(names = "--out", paramLabel = "FILE", required = true, description = "the .onnx_adapter file to write")
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private Path out;

    @Mixin
    private OutputOptions output = new OutputOptions();

    @Override
    public Integer call() throws IOException {
        long start = System.nanoTime();
        try (Checkpoint checkpoint = Checkpoints.open(base)) {
            BoundAdapter bound = new Binding(checkpoint).bind(Adapters.read(path), false);
            OnnxAdapter adapter = OnnxAdapter.of(bound, Model.of(checkpoint, bound)::leaf);
            Outputs outputs = output.apartFrom(path, base);
            outputs.madeFrom(checkpoint.snapshots());
            adapter.write(out, outputs);
            Terminal.line(
                    "%s: %s, %d tensors, in %.1f s",
                    out, new Bytes(Files.size(out)), adapter.parameters().size(), (System.nanoTime() - start) / 1e9);
        }
        return 0;
    }
}
