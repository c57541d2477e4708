package dev.adapt.merge;

import dev.adapt.formats.PendingOutput;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import io.airlift.compress.v3.zstd.ZstdJavaCompressor;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Writes an undo file while a merge goes on. It appears, whole, only with {@link #commit}. */
final class UndoWriter implements Pass.TileSink, AutoCloseable {
    private static final int PIECE = 1 << 20;

    private final PendingOutput pending;
    private final FileChannel channel;
    private final Map<String, List<Undo.Frame>> frames = new LinkedHashMap<>();
    private final List<Undo.BaseFile> files = new ArrayList<>();
    private long position;
    private long covered;

    UndoWriter(Path path) throws IOException {
        pending = PendingOutput.file(path);
        channel = FileChannel.open(pending.path(), StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
    }

    @Override
    public void tile(Update update, int tile, Lane lane, MemorySegment before, MemorySegment after) throws IOException {
        byte[] planes = planes(before, after, update.dtype().bytes());
        append(update.task().place().name(), update.offset(tile), planes);
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
        while (bytes.hasRemaining()) {
            position += channel.write(bytes, position);
        }
    }

    /**
     * Adds what a merged file does not tell of its base.
     *
     * @param merged the file that the base's became, whole
     */
    void add(MergePlan.Output output, String name, SafetensorsFile merged, int threads) throws IOException {
        SafetensorsFile source = output.source();
        Map<String, Boolean> touched = new LinkedHashMap<>();
        for (MergePlan.Task task : output.tasks()) {
            if (task instanceof MergePlan.Task.Adapt adapt) {
                touched.put(adapt.place().name(), true);
            } else if (task instanceof MergePlan.Task.Replace replace
                    && source.find(replace.place().name()).isPresent()) {
                touched.put(replace.place().name(), false);
            }
        }
        List<TensorView> tensors = source.tensors();
        Undo.BaseTensor[] described = new Undo.BaseTensor[tensors.size()];
        Schedule schedule = new Schedule();
        schedule.add(described.length, (index, lane) -> {
            TensorView tensor = tensors.get(index);
            Boolean adapted = touched.get(tensor.name());
            if (Boolean.FALSE.equals(adapted)) {
                appendWhole(tensor);
            }
            described[index] = new Undo.BaseTensor(
                    tensor.name(),
                    tensor.dtype().name(),
                    tensor.shape().dims(),
                    tensor.info().bytes(),
                    adapted == null ? "" : tensor.sha256(),
                    Boolean.TRUE.equals(adapted) ? merged.tensor(tensor.name()).sha256() : "",
                    framesOf(tensor.name()));
        });
        schedule.run(threads);
        files.add(new Undo.BaseFile(name, header(source), List.of(described)));
    }

    private synchronized List<Undo.Frame> framesOf(String tensor) {
        return frames.getOrDefault(tensor, List.of()).stream()
                .sorted(Comparator.comparingLong(Undo.Frame::offset))
                .toList();
    }

    private void appendWhole(TensorView tensor) throws IOException {
        long size = tensor.data().byteSize();
        for (long at = 0; at < size; at += PIECE) {
            MemorySegment piece = tensor.data().asSlice(at, Math.min(PIECE, size - at));
            append(tensor.name(), at, piece.toArray(ValueLayout.JAVA_BYTE));
        }
    }

    private static byte[] header(SafetensorsFile file) throws IOException {
        try (FileChannel source = FileChannel.open(file.path())) {
            return Undo.read(
                    file.path(), source, 0, Math.toIntExact(file.header().dataOffset()));
        }
    }

    /**
     * Ends the file and gives it its name.
     *
     * @param texts small files of the base that the merge changes, by name
     * @return its size, and that of the tensors whose bytes it can bring back
     */
    Merger.UndoSize commit(Map<String, String> texts) throws IOException {
        byte[] json = new Undo(Undo.VERSION, files, texts).encode();
        write(ByteBuffer.wrap(json));
        write(ByteBuffer.allocate(Long.BYTES).order(ByteOrder.LITTLE_ENDIAN).putLong(0, json.length));
        write(ByteBuffer.wrap(Undo.MAGIC.getBytes(StandardCharsets.US_ASCII)));
        channel.close();
        pending.commit();
        return new Merger.UndoSize(position, covered);
    }

    @Override
    public void close() throws IOException {
        channel.close();
        pending.close();
    }
}
