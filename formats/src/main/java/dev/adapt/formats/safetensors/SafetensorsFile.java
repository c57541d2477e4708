package dev.adapt.formats.safetensors;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.GitLfs;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.Snapshot;
import dev.adapt.formats.io.WholeIo;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** An open safetensors file: its header, checked, and its data, mapped and never loaded. */
public final class SafetensorsFile implements AutoCloseable {
    /** Pointers of Git LFS are shorter. */
    private static final int MOST_POINTER = 1024;

    private final InputFile source;
    private final SafetensorsHeader header;
    private final Map<String, TensorInfo> byName;
    private final FileChannel channel;
    private final Arena arena;
    private final MemorySegment data;

    private SafetensorsFile(
            InputFile source, SafetensorsHeader header, FileChannel channel, Arena arena, MemorySegment data) {
        this.source = source;
        this.header = header;
        this.channel = channel;
        this.arena = arena;
        this.data = data;
        this.byName = new LinkedHashMap<>();
        header.tensors().forEach(tensor -> byName.put(tensor.name(), tensor));
    }

    /**
     * Opens a file that was found in its folder.
     *
     * @throws FormatException if it breaks a {@link SafetensorsRule}, or is a link out of its folder
     * @throws IOException if it cannot be read
     */
    @SuppressWarnings("MustBeClosedChecker") // closed by the caller
    public static SafetensorsFile open(Path path) throws IOException {
        return open(InputFile.found(path));
    }

    /**
     * Opens a file; this costs what its header costs, whatever the file's size.
     *
     * @throws FormatException if it breaks a {@link SafetensorsRule}
     * @throws IOException if it cannot be read
     */
    @SuppressWarnings("MustBeClosedChecker") // channel and arena are closed with the file they are of
    public static SafetensorsFile open(InputFile source) throws IOException {
        Path path = source.path();
        FileChannel channel = source.open();
        Arena arena = Arena.ofShared();
        try {
            SafetensorsHeader header = readHeader(path, channel);
            MemorySegment data = channel.map(
                            FileChannel.MapMode.READ_ONLY,
                            header.dataOffset(),
                            header.fileBytes() - header.dataOffset(),
                            arena)
                    .asReadOnly();
            return new SafetensorsFile(source, header, channel, arena, data);
        } catch (IOException | RuntimeException e) {
            close(channel, arena);
            throw e;
        }
    }

    private static void close(FileChannel channel, Arena arena) {
        arena.close();
        try {
            channel.close();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static SafetensorsHeader readHeader(Path path, FileChannel channel) throws IOException {
        long size = channel.size();
        ByteBuffer prefix = ByteBuffer.allocate(SafetensorsHeader.PREFIX);
        // the header's own rules refuse what is too short
        WholeIo.read(channel, prefix, 0);
        if (size < MOST_POINTER) {
            ByteBuffer whole = ByteBuffer.allocate((int) size);
            WholeIo.read(channel, whole, 0);
            GitLfs.refusePointer(path, whole.array());
        }
        ByteBuffer json = ByteBuffer.allocate(SafetensorsHeader.length(path, prefix, size));
        WholeIo.read(channel, json, SafetensorsHeader.PREFIX);
        return SafetensorsHeader.parse(path, json.array(), size);
    }

    /** The file's path, as it was given. */
    public Path path() {
        return source.path();
    }

    /** The file's state before it was opened. */
    public Snapshot snapshot() {
        return source.snapshot();
    }

    /** The file's header. */
    public SafetensorsHeader header() {
        return header;
    }

    /** The metadata strings of the header. */
    public Map<String, String> metadata() {
        return header.metadata();
    }

    /** All tensors, in the order of their data. */
    public List<TensorView> tensors() {
        return header.tensors().stream().map(this::view).toList();
    }

    /** The tensor of that name, if the file has it. */
    public Optional<TensorView> find(String name) {
        return Optional.ofNullable(byName.get(name)).map(this::view);
    }

    /**
     * The tensor of that name.
     *
     * @throws FormatException if the file has none
     */
    public TensorView tensor(String name) {
        return find(name).orElseThrow(() -> new FormatException(path(), name, "no such tensor in the file"));
    }

    private TensorView view(TensorInfo info) {
        return new TensorView(
                path(), header.dataOffset() + info.begin(), info, data.asSlice(info.begin(), info.bytes()), channel);
    }

    @Override
    public void close() {
        close(channel, arena);
    }
}
