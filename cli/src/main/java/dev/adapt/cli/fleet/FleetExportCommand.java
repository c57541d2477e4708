package dev.adapt.cli.fleet;

import dev.adapt.cli.fleet.task.Single;
import java.io.IOException;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code adapt fleet export}: each of many adapters for another program. */
@Command(
        name = "export",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = "Exports each adapter, as the command that --to means does with the options after --.",
        footer = {"", "Example: adapt fleet export --base base --adapters adapters --out-dir exported --to gguf"})
final class FleetExportCommand implements Callable<Integer> {
    /** What {@code --to} takes. */
    enum To {
        GGUF(Single.EXPORT_GGUF),
        ONNX_ADAPTER(Single.EXPORT_ADAPTER),
        ONNX(Single.EXPORT_ONNX);

        private final Single single;

        To(Single single) {
            this.single = single;
        }

        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT).replace('_', '-');
        }
    }

    @Option(
            names = "--to",
            required = true,
            paramLabel = "FORM",
            description =
                    "gguf (an adapter of llama.cpp, as export-gguf writes it), onnx-adapter (as export-adapter), or onnx"
                            + " (base and adapter in one file that holds all weights, as export-onnx --adapter --self-contained)")
    private To to = To.GGUF;

    @Mixin
    private SingleOptions options = new SingleOptions();

    @Override
    public Integer call() throws IOException {
        return options.run(to.single);
    }
}
