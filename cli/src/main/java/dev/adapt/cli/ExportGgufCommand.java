package dev.adapt.cli;

import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.gguf.GgmlType;
import dev.adapt.formats.gguf.GgufExport;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code adapt export-gguf}: a checkpoint, or a LoRA adapter, for llama.cpp and its kin. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Writes a checkpoint as a GGUF file, which llama.cpp, Ollama and engines on the JVM load: weights, tokenizer and"
                    + " chat template in one file.",
        },
        footer = {"", "Example: adapt export-gguf merged --out merged.gguf --dtype q8_0"})
final class ExportGgufCommand implements Callable<Integer> {
    /** What {@code --dtype} takes. */
    enum Stored {
        F32,
        F16,
        BF16,
        Q8_0;

        GgmlType type() {
            return GgmlType.valueOf(name());
        }

        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    @Parameters(paramLabel = "DIR", description = "the checkpoint: a folder, or a .safetensors file with its config.json")
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private Path path;

    @Option(names = "--out", paramLabel = "FILE", required = true, description = "the .gguf file to write")
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private Path out;

    @Option(
            names = "--dtype",
            paramLabel = "DTYPE",
            description = "of matrices: f32, f16, bf16 or q8_0 (that of the checkpoint); vectors and norms are f32")
    private Optional<Stored> dtype = Optional.empty();

    @Option(
            names = "--pre-tokenizer",
            paramLabel = "NAME",
            description = "llama.cpp's name of the pre-tokenizer, where it cannot be told from tokenizer.json")
    private Optional<String> preTokenizer = Optional.empty();

    @Override
    public Integer call() throws IOException {
        long start = System.nanoTime();
        try (Checkpoint checkpoint = Checkpoints.open(path)) {
            GgufExport export = GgufExport.run(
                    checkpoint, new GgufExport.Options(dtype.map(Stored::type), preTokenizer), out);
            export.notes().forEach(Terminal::note);
            Terminal.line(
                    "%s: %s, %d tensors, %s, in %.1f s",
                    out,
                    export.header().text("general.architecture").orElse(""),
                    export.header().tensors().size(),
                    new Bytes(Files.size(out)),
                    (System.nanoTime() - start) / 1e9);
        }
        return 0;
    }
}
