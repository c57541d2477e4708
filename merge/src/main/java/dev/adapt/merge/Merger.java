package dev.adapt.merge;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.JsonDocument;
import dev.adapt.formats.PendingOutput;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorInfo;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.atomic.LongAdder;

/**
 * Streams a base with an adapter merged into it to a new checkpoint: untouched bytes through the kernel, touched weights
 * in tiles through {@link Kernels}. Memory stays the size of the adapter and a few tiles, whatever the base's size.
 */
public final class Merger {
    private final Checkpoint base;
    private final BoundAdapter adapter;
    private final MergePlan plan;
    private final Settings settings;

    /**
     * How to merge.
     *
     * @param threads how many tiles are computed at a time
     * @param flush whether to wait until the disk has the result; without, a power cut may lose it
     * @param written counts the bytes that are written, for whoever shows progress
     */
    public record Settings(Kernels kernels, int threads, boolean flush, LongAdder written) {
        /** The best kernels, and a result that is safe on the disk. */
        public static Settings of(int threads) {
            return new Settings(Kernels.best(), threads, true, new LongAdder());
        }

        /** The same, without waiting for the disk. */
        public Settings withoutFlush() {
            return new Settings(kernels, threads, false, written);
        }
    }

    /**
     * A merge that is planned and checked, and has written nothing.
     *
     * @param threads how many tiles are computed at a time
     */
    public Merger(Checkpoint base, BoundAdapter adapter, int threads) {
        this(base, adapter, Settings.of(threads));
    }

    /** A merge that is planned and checked, and has written nothing. */
    public Merger(Checkpoint base, BoundAdapter adapter, Settings settings) {
        this.base = base;
        this.adapter = adapter;
        this.plan = MergePlan.of(base, adapter);
        this.settings = settings;
    }

    /** What will be done. */
    public MergePlan plan() {
        return plan;
    }

    /**
     * Merges. From a folder comes a folder with the same shards, config.json (with the adapter's head, if it brings one),
     * tokenizer and other small files; from a file comes a file if {@code out} ends with {@code .safetensors}, else a
     * folder.
     *
     * @throws UsageException if the output is the base or lies in it
     * @throws IOException if something cannot be read or written; nothing then stands under {@code out} that did not
     */
    public void merge(Path out) throws IOException {
        requireApart(out);
        boolean toFile = !Files.isDirectory(base.path()) && out.toString().endsWith(".safetensors");
        try (PendingOutput pending = toFile ? PendingOutput.file(out) : PendingOutput.folder(out)) {
            for (MergePlan.Output output : plan.outputs()) {
                Path file = toFile ? pending.path() : pending.path().resolve(name(output));
                write(output, file);
            }
            if (!toFile) {
                writeCompanions(pending.path());
            }
            pending.commit(settings.flush());
        }
    }

    private void requireApart(Path out) throws IOException {
        Path target = out.toAbsolutePath().normalize();
        Path source = base.path().toAbsolutePath().normalize();
        boolean same = Files.exists(out) && Files.isSameFile(out, base.path());
        if (same || target.startsWith(source)) {
            throw new UsageException("--out " + out + " is the base or lies in it; give a place outside of it");
        }
    }

    private String name(MergePlan.Output output) {
        Path file = output.source().path().getFileName();
        return Files.isDirectory(base.path()) && file != null ? file.toString() : Checkpoint.SINGLE;
    }

    private void write(MergePlan.Output output, Path file) throws IOException {
        try (SafetensorsWriter writer = SafetensorsWriter.create(file, output.header());
                WriteBehind _ = settings.flush() ? WriteBehind.of(writer, settings.written()) : () -> {}) {
            new Pass(output.source(), settings.kernels(), settings.written())
                    .run(List.of(new Pass.Destination(output, writer, Pass.TileSink.none())), settings.threads());
        }
    }

    private void writeCompanions(Path folder) throws IOException {
        for (Path companion : base.companions()) {
            Files.copy(companion, folder.resolve(String.valueOf(companion.getFileName())));
        }
        if (base.config().isPresent()) {
            ModelConfig config = base.config().get();
            Path target = folder.resolve(ModelConfig.FILE);
            if (!adapter.change().isEmpty()) {
                Files.writeString(target, adapter.change().of(config).document().text());
            } else {
                Files.copy(config.document().path(), target);
            }
        }
        Path index = base.path().resolve(Checkpoint.INDEX);
        if (base.files().size() > 1 || Files.exists(index)) {
            writeIndex(index, folder.resolve(Checkpoint.INDEX));
        }
    }

    private void writeIndex(Path source, Path target) throws IOException {
        JsonDocument index = JsonDocument.read(source);
        ObjectNode map = index.json().withObject("/weight_map");
        long total = 0;
        for (MergePlan.Output output : plan.outputs()) {
            for (TensorInfo tensor : output.header().tensors()) {
                map.put(tensor.name(), name(output));
                total += tensor.bytes();
            }
        }
        index.json().withObject("/metadata").put("total_size", total);
        Files.writeString(target, index.text());
    }
}
