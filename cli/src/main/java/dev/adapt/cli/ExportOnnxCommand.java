package dev.adapt.cli;

import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.model.Binding;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.OnnxExport;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code adapt export-onnx}: a checkpoint's forward pass as an ONNX graph. */
@Command(
        name = "export-onnx",
        mixinStandardHelpOptions = true,
        description = {
            "Writes a checkpoint as an ONNX model, batch and sequence of any size.",
            "By default the weights stay in the checkpoint's safetensors file, and the model, of some kilobytes, points to"
                    + " them: write it into that folder and keep the two together. With --self-contained it holds them"
                    + " itself; from 2 GB on they go to a second file beside it, named as the model with _data added."
        },
        footer = {"", "Example: adapt export-onnx merged --out merged/model.onnx"})
final class ExportOnnxCommand implements Callable<Integer> {
    @Parameters(
            paramLabel = "DIR",
            description = "the checkpoint: a folder, or a .safetensors file with its config.json")
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private Path path;

    @Option(names = "--out", paramLabel = "FILE", required = true, description = "the .onnx file to write")
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private Path out;

    @Option(names = "--self-contained", description = "copy the weights into the model")
    private boolean selfContained;

    @Option(
            names = "--adapter",
            paramLabel = "DIR",
            description =
                    "an adapter to export beside the checkpoint's weights, unmerged, as matrix products of its own")
    private Optional<Path> adapter = Optional.empty();

    @Override
    public Integer call() throws IOException {
        long start = System.nanoTime();
        try (Checkpoint checkpoint = Checkpoint.open(path)) {
            Model model = adapter.isEmpty()
                    ? Model.of(checkpoint)
                    : Model.of(checkpoint, new Binding(checkpoint).bind(Adapter.read(adapter.get()), false));
            OnnxExport.Weights weights = selfContained ? OnnxExport.Weights.OWN : OnnxExport.Weights.LINKED;
            OnnxExport exported = OnnxExport.run(model, out, weights);
            System.out.printf(
                    "%s: %s, opset %d, %d nodes, with %s of weights %s, in %.1f s%n",
                    out,
                    new Bytes(Files.size(out)),
                    exported.opset(),
                    exported.nodes(),
                    new Bytes(exported.weightBytes()),
                    exported.data().map(data -> "in " + data).orElse(selfContained ? "inside" : "left in " + path),
                    (System.nanoTime() - start) / 1e9);
        }
        return 0;
    }
}
