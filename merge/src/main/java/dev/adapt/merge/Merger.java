package dev.adapt.merge;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.JsonDocument;
import dev.adapt.formats.PendingOutput;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.BoundAdapter;
import dev.adapt.formats.adapter.Target;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.LowRank;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.ReferenceOps;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Streams a base with an adapter merged into it to a new checkpoint: untouched bytes through the kernel, touched weights
 * in tiles through {@link Kernels}. Memory stays the size of the adapter and a few tiles, whatever the base's size.
 */
public final class Merger {
    /** Elements of a tile: 256 KiB of floats stay in a core's second-level cache while the factors pass over them. */
    private static final int TILE = 1 << 16;

    private final Checkpoint base;
    private final BoundAdapter adapter;
    private final MergePlan plan;
    private final Kernels kernels;
    private final int threads;
    private final Map<String, DoubleTensor> leaves = new HashMap<>();

    /**
     * A merge that is planned and checked, and has written nothing.
     *
     * @param threads how many tiles are computed at a time
     */
    public Merger(Checkpoint base, BoundAdapter adapter, int threads) {
        this(base, adapter, threads, Kernels.best());
    }

    Merger(Checkpoint base, BoundAdapter adapter, int threads, Kernels kernels) {
        this.base = base;
        this.adapter = adapter;
        this.plan = MergePlan.of(base, adapter);
        this.threads = threads;
        this.kernels = kernels;
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
        try (PendingOutput pending = toFile ? PendingOutput.file(out) : PendingOutput.folder(out);
                ExecutorService pool = Executors.newFixedThreadPool(threads)) {
            for (MergePlan.Output output : plan.outputs()) {
                Path file = toFile ? pending.path() : pending.path().resolve(name(output));
                write(output, file, pool);
            }
            if (!toFile) {
                writeCompanions(pending.path());
            }
            pending.commit();
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

    private void write(MergePlan.Output output, Path file, ExecutorService pool) throws IOException {
        try (FileChannel source = FileChannel.open(output.source().path(), StandardOpenOption.READ);
                SafetensorsWriter writer = SafetensorsWriter.create(file, output.header())) {
            for (MergePlan.Task task : output.tasks()) {
                switch (task) {
                    case MergePlan.Task.Copy copy ->
                        writer.transfer(source, copy.position(), copy.bytes(), copy.offset());
                    case MergePlan.Task.Adapt adapt -> adapt(adapt, writer, pool);
                    case MergePlan.Task.Replace(FloatTensor values, TensorInfo place) ->
                        writer.write(place, 0, encoded(place, values.values(), values.values().length));
                }
            }
        }
    }

    private static MemorySegment encoded(TensorInfo place, float[] values, int count) {
        Floats dtype = Floats.of(place.dtype());
        MemorySegment bytes = MemorySegment.ofArray(new byte[count * dtype.bytes()]);
        dtype.encode(values, count, bytes);
        return bytes;
    }

    /** ΔW's factors for the layout the weight is stored in: [rows, rank] and [rank, columns]. */
    @SuppressWarnings("ArrayRecordComponent")
    private record Factors(float[] left, float[] right, int rows, int columns, int rank) {}

    private Factors factors(Target target) {
        ReferenceOps ops = new ReferenceOps();
        LowRank<DoubleTensor> update = adapter.update(ops, target, this::leaf);
        DoubleTensor left = update.foldedLeft(ops);
        DoubleTensor right = update.foldedRight(ops);
        int rank = Math.toIntExact(left.shape().dim(1));
        if (target.transposed()) {
            return new Factors(
                    ops.transpose(right, 1, 0).toFloats(),
                    ops.transpose(left, 1, 0).toFloats(),
                    target.in(),
                    target.out(),
                    rank);
        }
        return new Factors(left.toFloats(), right.toFloats(), target.out(), target.in(), rank);
    }

    private DoubleTensor leaf(String key) {
        return leaves.computeIfAbsent(key, absent -> {
            FloatTensor tensor = adapter.tensors().get(absent);
            if (tensor == null) {
                throw new IllegalArgumentException("the adapter has no tensor " + absent);
            }
            return DoubleTensor.of(tensor);
        });
    }

    private void adapt(MergePlan.Task.Adapt task, SafetensorsWriter writer, ExecutorService pool) throws IOException {
        Factors factors = factors(task.target());
        int rowsPerTile = Math.max(1, TILE / Math.max(1, factors.columns()));
        List<Callable<Void>> tiles = new ArrayList<>();
        for (int row = 0; row < factors.rows(); row += rowsPerTile) {
            int first = row;
            int count = Math.min(rowsPerTile, factors.rows() - row);
            tiles.add(() -> {
                tile(task, factors, first, count, writer);
                return null;
            });
        }
        await(pool, tiles);
    }

    private void tile(MergePlan.Task.Adapt task, Factors factors, int first, int rows, SafetensorsWriter writer)
            throws IOException {
        Floats dtype = Floats.of(task.place().dtype());
        int count = rows * factors.columns();
        long from = (long) first * factors.columns();
        float[] tile = new float[count];
        dtype.decode(task.weight().data(), from, tile, count);
        kernels.addProduct(tile, rows, factors.columns(), factors.left(), first, factors.rank(), factors.right());
        writer.write(task.place(), from * dtype.bytes(), encoded(task.place(), tile, count));
    }

    private static void await(ExecutorService pool, List<Callable<Void>> tiles) throws IOException {
        try {
            for (Future<Void> tile : pool.invokeAll(tiles)) {
                tile.get();
            }
        } catch (ExecutionException e) {
            switch (e.getCause()) {
                case IOException io -> throw io;
                case UncheckedIOException io -> throw new IOException(io.getMessage(), io);
                case null, default -> throw new IllegalStateException(e);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("the merge was interrupted", e);
        }
    }

    private void writeCompanions(Path folder) throws IOException {
        for (Path companion : base.companions()) {
            Files.copy(companion, folder.resolve(String.valueOf(companion.getFileName())));
        }
        if (base.config().isPresent()) {
            ModelConfig config = base.config().get();
            Path target = folder.resolve(ModelConfig.FILE);
            if (adapter.head().isPresent()) {
                Files.writeString(
                        target, config.withHead(adapter.head().get()).document().text());
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
