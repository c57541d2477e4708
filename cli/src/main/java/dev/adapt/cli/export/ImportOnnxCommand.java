package dev.adapt.cli.export;

import dev.adapt.cli.options.OutputOptions;
import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.onnx.imports.OnnxImport;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code adapt import-onnx}: an exported model becomes a checkpoint folder again. */
@Command(
        mixinStandardHelpOptions = true,
        description = {
            "Turns a BERT exported to ONNX back into a Hugging Face checkpoint folder: config.json, model.safetensors and,"
                    + " if given, tokenizer.json.",
            "What PyTorch's exporter folded into anonymous transposed tensors gets its parameter's name and shape back."
                    + " A tensor that cannot be named is an error that lists it."
        },
        footer = {"", "Example: adapt import-onnx minilm.onnx --tokenizer tokenizer.json --out minilm"})
public final class ImportOnnxCommand implements Callable<Integer> {
    @Parameters(
            paramLabel = "MODEL.onnx",
            description = "the exported model; its external data beside it, if it has any")
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private Path model;

    @Option(names = "--out", paramLabel = "DIR", required = true, description = "the folder to make")
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private Path out;

    @Option(
            names = "--tokenizer",
            paramLabel = "FILE",
            description = "the model's tokenizer.json; training on text needs it")
    private Optional<Path> tokenizer = Optional.empty();

    @Mixin
    private OutputOptions output = new OutputOptions();

    @Override
    public Integer call() throws IOException {
        long start = System.nanoTime();
        OnnxImport imported =
                OnnxImport.run(model, tokenizer, out, output.apartFrom(List.of(model), List.of(tokenizer)));
        Terminal.line(
                "%s: %s with %d layers, %d tensors, %s%s, in %.1f s",
                out,
                imported.config().modelType(),
                imported.config().document().positive("num_hidden_layers"),
                imported.tensors(),
                new Bytes(imported.bytes()),
                tokenizer.isPresent() ? ", with its tokenizer" : "",
                (System.nanoTime() - start) / 1e9);
        return 0;
    }
}
