package dev.adapt.formats.safetensors;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.GitLfs;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** An open safetensors file: its header, checked, and its data, mapped and never loaded. */
public final class SafetensorsFile implements AutoCloseable {
    private static final int PIECE = 1 << 16;

    /** Pointers of Git LFS are shorter. */
    private static final int MOST_POINTER = 1024;

    private final Path path;
    private final SafetensorsHeader header;
    private final Map<String, TensorInfo> byName;
    private final FileChannel channel;
    private final Arena arena;
    private final MemorySegment data;

    private SafetensorsFile(Path path, SafetensorsHeader header, FileChannel channel, Arena arena, MemorySegment data) {
        this.path = path;
        this.header = header;
        this.channel = channel;
        this.arena = arena;
        this.data = data;
        this.byName = new LinkedHashMap<>();
        header.tensors().forEach(tensor -> byName.put(tensor.name(), tensor));
    }

    /**
     * Opens a file; this costs what its header costs, whatever the file's size.
     *
     * @throws FormatException if it breaks a {@link SafetensorsRule}
     * @throws IOException if it cannot be read
     */
    @SuppressWarnings("MustBeClosedChecker") // channel and arena are closed with the file they are of
    public static SafetensorsFile open(Path path) throws IOException {
        if (Files.isDirectory(path)) {
            throw new FormatException(path, "is a folder, expected a safetensors file");
        }
        FileChannel channel = FileChannel.open(path, StandardOpenOption.READ);
        Arena arena = Arena.ofShared();
        try {
            SafetensorsHeader header = readHeader(path, channel);
            MemorySegment data = channel.map(
                            FileChannel.MapMode.READ_ONLY,
                            header.dataOffset(),
                            header.fileBytes() - header.dataOffset(),
                            arena)
                    .asReadOnly();
            return new SafetensorsFile(path, header, channel, arena, data);
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
        readFully(channel, prefix, 0);
        if (size < MOST_POINTER) {
            ByteBuffer whole = ByteBuffer.allocate((int) size);
            readFully(channel, whole, 0);
            GitLfs.refusePointer(path, whole.array());
        }
        ByteBuffer json = ByteBuffer.allocate(SafetensorsHeader.length(path, prefix, size));
        readFully(channel, json, SafetensorsHeader.PREFIX);
        return SafetensorsHeader.parse(path, json.array(), size);
    }

    /** Piece by piece: for each read the JDK keeps a buffer of its size outside of the heap. */
    private static void readFully(FileChannel channel, ByteBuffer into, long from) throws IOException {
        while (into.hasRemaining()) {
            ByteBuffer piece = into.slice(into.position(), Math.min(PIECE, into.remaining()));
            int read = channel.read(piece, from + into.position());
            if (read < 0) {
                return;
            }
            into.position(into.position() + read);
        }
    }

    /** The file's path, as it was given. */
    public Path path() {
        return path;
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
        return find(name).orElseThrow(() -> new FormatException(path, name, "no such tensor in the file"));
    }

    private TensorView view(TensorInfo info) {
        return new TensorView(
                path, header.dataOffset() + info.begin(), info, data.asSlice(info.begin(), info.bytes()), channel);
    }

    @Override
    public void close() {
        close(channel, arena);
    }
}
