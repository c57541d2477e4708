package dev.adapt.merge;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
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
import java.util.Optional;
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

    /** Rows whose squares are summed before they are added to the others': a constant, for results that repeat to the bit. */
    private static final int NORM_ROWS = 64;

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

    /**
     * ΔW's factors for the layout the weight is stored in: [rows, rank] and [rank, columns].
     *
     * @param magnitude of each output, where the method has it; the outputs are the columns of a transposed weight
     */
    @SuppressWarnings("ArrayRecordComponent")
    private record Factors(float[] left, float[] right, int rows, int columns, int rank, Optional<float[]> magnitude) {}

    private Factors factors(Target target) {
        ReferenceOps ops = new ReferenceOps();
        LowRank<DoubleTensor> update = adapter.update(ops, target, this::leaf);
        DoubleTensor left = update.foldedLeft(ops);
        DoubleTensor right = update.foldedRight(ops);
        int rank = Math.toIntExact(left.shape().dim(1));
        Optional<float[]> magnitude = update.magnitude().map(DoubleTensor::toFloats);
        if (target.transposed()) {
            return new Factors(
                    ops.transpose(right, 1, 0).toFloats(),
                    ops.transpose(left, 1, 0).toFloats(),
                    target.in(),
                    target.out(),
                    rank,
                    magnitude);
        }
        return new Factors(left.toFloats(), right.toFloats(), target.out(), target.in(), rank, magnitude);
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
        Optional<double[]> scale =
                factors.magnitude().isPresent() ? Optional.of(scale(task, factors, pool)) : Optional.empty();
        int rowsPerTile = Math.max(1, TILE / Math.max(1, factors.columns()));
        each(pool, factors.rows(), rowsPerTile, (first, rows) -> {
            float[] tile = sum(task, factors, first, rows);
            scale.ifPresent(own -> {
                for (int i = 0; i < tile.length; i++) {
                    tile[i] = (float) (tile[i] * own[output(task.target(), factors, first, i)]);
                }
            });
            int bytes = Floats.of(task.place().dtype()).bytes();
            writer.write(
                    task.place(), (long) first * factors.columns() * bytes, encoded(task.place(), tile, tile.length));
            return rows;
        });
    }

    /** Rows of W + ΔW. */
    private float[] sum(MergePlan.Task.Adapt task, Factors factors, int first, int rows) {
        Floats dtype = Floats.of(task.place().dtype());
        float[] tile = new float[rows * factors.columns()];
        dtype.decode(task.weight().data(), (long) first * factors.columns(), tile, tile.length);
        kernels.addProduct(tile, rows, factors.columns(), factors.left(), first, factors.rank(), factors.right());
        return tile;
    }

    /** Which output of the layer element {@code i} of a tile belongs to. */
    private static int output(Target target, Factors factors, int first, int i) {
        return target.transposed() ? i % factors.columns() : first + i / factors.columns();
    }

    /** What each output is multiplied with: its magnitude by the norm of its weights in W + ΔW, summed in float64. */
    private double[] scale(MergePlan.Task.Adapt task, Factors factors, ExecutorService pool) throws IOException {
        Target target = task.target();
        List<double[]> parts = each(pool, factors.rows(), NORM_ROWS, (first, rows) -> {
            float[] tile = sum(task, factors, first, rows);
            double[] squares = new double[target.transposed() ? factors.columns() : rows];
            for (int i = 0; i < tile.length; i++) {
                squares[output(target, factors, 0, i)] += (double) tile[i] * tile[i];
            }
            return squares;
        });
        double[] scale = new double[target.out()];
        for (int part = 0; part < parts.size(); part++) {
            double[] squares = parts.get(part);
            int first = target.transposed() ? 0 : part * NORM_ROWS;
            for (int i = 0; i < squares.length; i++) {
                scale[first + i] += squares[i];
            }
        }
        float[] magnitude = factors.magnitude().orElseThrow();
        for (int i = 0; i < scale.length; i++) {
            if (scale[i] == 0) {
                throw new FormatException(
                        task.weight().file(),
                        task.weight().name(),
                        "adapted, all weights of output " + i
                                + " are 0: they have no direction to give a magnitude to");
            }
            scale[i] = magnitude[i] / Math.sqrt(scale[i]);
        }
        return scale;
    }

    /** Something made of a run of rows. */
    private interface OfRows<R> {
        R make(int first, int rows) throws IOException;
    }

    /** Runs of {@code step} rows, several at a time; what they give, in the order of the rows. */
    private static <R> List<R> each(ExecutorService pool, int rows, int step, OfRows<R> task) throws IOException {
        List<Callable<R>> tasks = new ArrayList<>();
        for (int row = 0; row < rows; row += step) {
            int first = row;
            tasks.add(() -> task.make(first, Math.min(step, rows - first)));
        }
        try {
            List<R> results = new ArrayList<>();
            for (Future<R> result : pool.invokeAll(tasks)) {
                results.add(result.get());
            }
            return results;
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
