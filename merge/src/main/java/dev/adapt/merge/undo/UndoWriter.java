package dev.adapt.merge.undo;

import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.OutputFile;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.io.WholeIo;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.merge.engine.Pass;
import dev.adapt.merge.engine.Schedule;
import dev.adapt.merge.engine.Update;
import dev.adapt.merge.kernel.Lane;
import dev.adapt.merge.plan.MergePlan;
import io.airlift.compress.v3.zstd.ZstdJavaCompressor;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;

/** Writes an undo file while a merge goes on. It appears, whole, only with {@link #commit}. */
public final class UndoWriter implements Pass.TileSink, AutoCloseable {
    private static final int PIECE = 1 << 20;
    private static final int TILE_PIECE = Undo.MAX_FRAME / 4;

    private final OutputFile pending;
    private final FileChannel channel;
    private final Map<String, List<Undo.Frame>> frames = new LinkedHashMap<>();
    private final Map<String, Undo.BaseTensor> touched = new ConcurrentHashMap<>();
    private long position;
    private long covered;

    public UndoWriter(Path path, Outputs outputs) throws IOException {
        pending = outputs.file(path);
        channel = pending.open();
    }

    @Override
    public void tile(Update update, int tile, Lane lane, MemorySegment before, MemorySegment after) throws IOException {
        String name = update.task().place().name();
        long step = TILE_PIECE; // a multiple of every dtype's width
        for (long at = 0; at < after.byteSize(); at += step) {
            long count = Math.min(step, after.byteSize() - at);
            byte[] planes = planes(
                    before.asSlice(at, count),
                    after.asSlice(at, count),
                    update.dtype().bytes());
            append(name, update.offset(tile) + at, planes);
        }
    }

    /** The difference, byte 0 of all elements, then byte 1, and so on. */
    private static byte[] planes(MemorySegment before, MemorySegment after, int width) {
        int count = Math.toIntExact(before.byteSize()) / width;
        byte[] planes = new byte[count * width];
        for (int plane = 0; plane < width; plane++) {
            for (int i = 0; i < count; i++) {
                long at = (long) i * width + plane;
                planes[plane * count + i] =
                        (byte) (before.get(ValueLayout.JAVA_BYTE, at) ^ after.get(ValueLayout.JAVA_BYTE, at));
            }
        }
        return planes;
    }

    private void append(String tensor, long offset, byte[] bytes) throws IOException {
        ZstdJavaCompressor compressor = new ZstdJavaCompressor();
        byte[] packed = new byte[compressor.maxCompressedLength(bytes.length)];
        int length = compressor.compress(bytes, 0, bytes.length, packed, 0, packed.length);
        synchronized (this) {
            frames.computeIfAbsent(tensor, absent -> new ArrayList<>())
                    .add(new Undo.Frame(offset, bytes.length, position, length));
            write(ByteBuffer.wrap(packed, 0, length));
            covered += bytes.length;
        }
    }

    private void write(ByteBuffer bytes) throws IOException {
        int count = bytes.remaining();
        try {
            WholeIo.write(channel, bytes, position);
        } catch (IOException e) {
            throw OutputFile.unwritable(pending.target(), e);
        }
        position += count;
    }

    /**
     * Adds what a merged file does not tell of its base.
     *
     * @param merged the file, whole
     */
    public void add(Checkpoint base, MergePlan.Output output, SafetensorsFile merged, int threads) throws IOException {
        Schedule schedule = new Schedule();
        for (MergePlan.Task task : output.tasks()) {
            switch (task) {
                case MergePlan.Task.Copy _ -> {}
                case MergePlan.Task.Adapt adapt -> {
                    TensorView after = merged.tensor(adapt.place().name());
                    inBase(base, after.name())
                            .ifPresent(tensor -> schedule.add(1, (index, lane) -> touched(tensor, after.sha256())));
                }
                case MergePlan.Task.Replace replace ->
                    inBase(base, replace.place().name())
                            .ifPresent(tensor -> schedule.add(1, (index, lane) -> {
                                appendWhole(tensor);
                                touched(tensor, "");
                            }));
            }
        }
        schedule.run(threads);
    }

    private static Optional<TensorView> inBase(Checkpoint base, String tensor) {
        return Optional.ofNullable(base.tensors().get(tensor));
    }

    private void touched(TensorView tensor, String mergedSha256) {
        touched.put(tensor.name(), described(tensor, tensor.sha256(), mergedSha256));
    }

    private Undo.BaseTensor described(TensorView tensor, String sha256, String mergedSha256) {
        return new Undo.BaseTensor(
                tensor.name(),
                tensor.dtype().name(),
                tensor.shape().dims(),
                tensor.info().bytes(),
                sha256,
                mergedSha256,
                framesOf(tensor.name()));
    }

    private synchronized List<Undo.Frame> framesOf(String tensor) {
        return frames.getOrDefault(tensor, List.of()).stream()
                .sorted(Comparator.comparingLong(Undo.Frame::offset))
                .toList();
    }

    private void appendWhole(TensorView tensor) throws IOException {
        long size = tensor.data().byteSize();
        for (long at = 0; at < size; at += PIECE) {
            byte[] piece = new byte[(int) Math.min(PIECE, size - at)];
            tensor.copy(at, MemorySegment.ofArray(piece));
            append(tensor.name(), at, piece);
        }
    }

    private static byte[] header(SafetensorsFile file) throws IOException {
        try (FileChannel source = InputFile.named(file.path()).open()) {
            return Undo.read(
                    file.path(), source, 0, Math.toIntExact(file.header().dataOffset()));
        }
    }

    /**
     * Ends the file and gives it its name.
     *
     * @param base what the merge began with, all of whose merged files were added
     * @param texts the base's config.json and index, by name
     * @param tokenizer files of the base's tokenizer that the merge replaces, by name
     * @param added files of a tokenizer that the merge adds
     * @return its size, and that of the tensors whose bytes it can bring back
     */
    public UndoSize commit(
            Checkpoint base, Map<String, String> texts, Map<String, byte[]> tokenizer, List<String> added)
            throws IOException {
        List<Undo.BaseFile> files = new ArrayList<>();
        for (SafetensorsFile file : base.files()) {
            List<Undo.BaseTensor> tensors = new ArrayList<>();
            for (TensorView tensor : file.tensors()) {
                Undo.BaseTensor known = touched.get(tensor.name());
                tensors.add(known == null ? described(tensor, "", "") : known);
            }
            files.add(new Undo.BaseFile(base.nameOf(file), header(file), tensors));
        }
        byte[] json = new Undo(Undo.VERSION, files, texts, tokenizer, added).encode(pending.path());
        write(ByteBuffer.wrap(json));
        write(ByteBuffer.allocate(Long.BYTES).order(ByteOrder.LITTLE_ENDIAN).putLong(0, json.length));
        write(ByteBuffer.wrap(Undo.MAGIC.getBytes(StandardCharsets.US_ASCII)));
        channel.close();
        pending.commit();
        return new UndoSize(position, covered);
    }

    @Override
    public void close() throws IOException {
        channel.close();
        pending.close();
    }
}
