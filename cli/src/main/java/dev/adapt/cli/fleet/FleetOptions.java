package dev.adapt.cli.fleet;

import java.nio.file.Path;
import picocli.CommandLine.Option;

/** The options that all fleets have. */
final class FleetOptions {
    @Option(
            names = "--base",
            required = true,
            paramLabel = "BASE",
            description = "checkpoint folder or .safetensors file that the adapters were trained on")
    private Path base = Path.of("");

    @Option(
            names = "--adapters",
            required = true,
            paramLabel = "DIR|LIST",
            description =
                    "a folder of adapter folders, or a text file that names one on each line, relative to the file")
    private Path adapters = Path.of("");

    @Option(
            names = "--out-dir",
            required = true,
            paramLabel = "DIR",
            description = "the folder for the outputs, under the names of the adapters' folders, and manifest.jsonl")
    private Path outDir = Path.of("");

    @Option(
            names = "--master",
            paramLabel = "local[N]",
            defaultValue = "local[*]",
            description = "how many workers, each a process of its own; * is one for each core (default:"
                    + " ${DEFAULT-VALUE})")
    private String master = "";

    @Option(
            names = "--resume",
            description = "continue the run in --out-dir: skip adapters whose outputs have the sizes and digests that"
                    + " manifest.jsonl records, and replace other outputs")
    private boolean resume;

    Path base() {
        return base.toAbsolutePath().normalize();
    }

    Path adapters() {
        return adapters;
    }

    Path outDir() {
        return outDir.toAbsolutePath().normalize();
    }

    Master master() {
        return Master.parse(master);
    }

    boolean resume() {
        return resume;
    }
}
