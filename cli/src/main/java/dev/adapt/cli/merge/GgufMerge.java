package dev.adapt.cli.merge;

import dev.adapt.cli.export.ExportGgufCommand;
import dev.adapt.cli.options.Checkpoints;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.gguf.model.GgufExport;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.OutputFolder;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.safetensors.TensorRange;
import dev.adapt.formats.safetensors.TensorTarget;
import dev.adapt.formats.saved.ChangedConfig;
import dev.adapt.merge.Merger;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** A merge into a GGUF file: in one pass where only weights change. */
final class GgufMerge {
    private final MergeOptions options;
    private final Path file;
    private final Outputs outputs;
    private final long start = System.nanoTime();

    GgufMerge(MergeOptions options, Path file, Outputs outputs) {
        this.options = options;
        this.file = file;
        this.outputs = outputs;
    }

    /** Adds the adapters to the base. */
    void adapters() throws IOException {
        Merger.Settings settings = options.settings(outputs);
        try (Checkpoint base = Checkpoints.open(options.requireBase());
                OpenAdapters opened = OpenAdapters.open(options.adapters(), base, options.only())) {
            outputs.madeFrom(base.snapshots());
            outputs.madeFrom(opened.snapshots());
            WeightedAdapters bound = WeightedAdapters.bind(base, opened, options);
            Merger merger = new Merger(base, bound.adapters(), settings);
            if (!merger.changesWeightsOnly()) {
                throughFolder(
                        merged -> new MergeRun(options, settings.flush(false)).merge(base, bound, List.of(merged)));
                return;
            }
            GgufExport export = GgufExport.run(base, named(), file, outputs, new Merged(merger));
            MergeRun.warnOfLoss(merger, bound);
            print(export);
            new MergeRun(options, settings).report();
        }
    }

    /** The base's weights as the merge changes them. */
    private record Merged(Merger merger) implements GgufExport.Changes {
        @Override
        public List<TensorRange> changed() {
            return merger.changed();
        }

        @Override
        public void write(TensorTarget target) throws IOException {
            merger.writeChanged(target);
        }

        @Override
        public JsonDocument config(JsonDocument config) {
            return merger.change()
                    .map(change -> ChangedConfig.of(config, change))
                    .orElse(config);
        }
    }

    /** A merge to a folder. */
    interface ToFolder {
        void run(Destination merged) throws IOException;
    }

    /**
     * Merges into a folder beside the file and exports that: what config.json will say is known only then. The folder is
     * removed at the end.
     */
    void throughFolder(ToFolder merge) throws IOException {
        try (OutputFolder beside = outputs.folder(file.resolveSibling(file.getFileName() + ".merged"))) {
            Path merged = beside.path().resolve("merged");
            merge.run(new Destination(merged, file));
            try (Checkpoint checkpoint = Checkpoints.open(merged)) {
                print(GgufExport.run(checkpoint, named(), file, outputs));
            }
        }
    }

    private void print(GgufExport export) throws IOException {
        export.notes().forEach(Terminal::note);
        ExportGgufCommand.print(file, export.header(), start);
    }

    private GgufExport.Options named() {
        String name = String.valueOf(file.getFileName());
        return new GgufExport.Options(
                Optional.empty(), Optional.empty(), Optional.of(name.substring(0, name.length() - ".gguf".length())));
    }
}
