package dev.adapt.cli.export;

import dev.adapt.cli.options.OutputOptions;
import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.gguf.model.GgufImport;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code adapt import-gguf}: a GGUF file as a checkpoint folder. */
@Command(
        mixinStandardHelpOptions = true,
        description = {
            "Turns a GGUF file back into a Hugging Face checkpoint folder: config.json and weights, without a tokenizer.",
            "Values of F32, F16 and BF16 stay what they are; Q8_0 becomes F32. Other quantized types are refused."
        },
        footer = {"", "Example: adapt import-gguf model.gguf --out model"})
public final class ImportGgufCommand implements Callable<Integer> {
    @Parameters(paramLabel = "FILE", description = "the .gguf file of a model")
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private Path model;

    @Option(names = "--out", paramLabel = "DIR", required = true, description = "the folder to make")
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private Path out;

    @Mixin
    private OutputOptions output = new OutputOptions();

    @Override
    public Integer call() throws IOException {
        long start = System.nanoTime();
        GgufImport imported = GgufImport.run(model, out, output.apartFrom(model));
        Terminal.line(
                "%s: %s, %d tensors, %s, in %.1f s",
                out,
                imported.modelType(),
                imported.tensors(),
                new Bytes(imported.bytes()),
                (System.nanoTime() - start) / 1e9);
        return 0;
    }
}
