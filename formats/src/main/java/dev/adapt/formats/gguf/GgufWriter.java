package dev.adapt.formats.gguf;

import dev.adapt.formats.io.OutputFile;
import dev.adapt.formats.io.WholeIo;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** Writes a GGUF file whose header is known beforehand; tensors may come in any order and in pieces. */
public final class GgufWriter implements AutoCloseable {
    private final Path path;
    private final GgufHeader header;
    private final FileChannel channel;

    private GgufWriter(Path path, GgufHeader header, FileChannel channel) {
        this.path = path;
        this.header = header;
        this.channel = channel;
    }

    /**
     * Creates the file, writes its header and its last padding.
     *
     * @throws IOException if it exists already or cannot be written
     */
    public static GgufWriter create(Path path, GgufHeader header) throws IOException {
        FileChannel channel = FileChannel.open(path, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
        GgufWriter writer = new GgufWriter(path, header, channel);
        try {
            writer.writeAt(0, ByteBuffer.wrap(header.encode()));
            long end = header.fileBytes();
            if (end > channel.size()) {
                writer.writeAt(end - 1, ByteBuffer.allocate(1));
            }
        } catch (IOException e) {
            channel.close();
            throw e;
        }
        return writer;
    }

    /** Writes bytes of one tensor, {@code offset} bytes from its start; threads may call it at once. */
    public void write(GgufTensor tensor, long offset, MemorySegment bytes) throws IOException {
        if (offset < 0 || offset + bytes.byteSize() > tensor.bytes()) {
            throw new IllegalArgumentException(
                    tensor.name() + ": " + bytes.byteSize() + " bytes at " + offset + " of " + tensor.bytes());
        }
        writeAt(header.dataOffset() + tensor.begin() + offset, bytes.asByteBuffer());
    }

    /** Copies bytes from another file straight through the kernel; one thread at a time. */
    public synchronized void transfer(FileChannel source, long position, long count, GgufTensor tensor, long offset)
            throws IOException {
        channel.position(header.dataOffset() + tensor.begin() + offset);
        try {
            for (long done = 0; done < count; ) {
                long moved = source.transferTo(position + done, count - done, channel);
                if (moved <= 0) {
                    throw new IOException("the source ended " + (count - done) + " bytes early");
                }
                done += moved;
            }
        } catch (IOException e) {
            throw unwritable(e);
        }
    }

    private void writeAt(long at, ByteBuffer bytes) throws IOException {
        try {
            WholeIo.write(channel, bytes, at);
        } catch (IOException e) {
            throw unwritable(e);
        }
    }

    private IOException unwritable(IOException cause) {
        return OutputFile.unwritable(
                path, new IOException(cause.getMessage() + "; it needs " + header.fileBytes() + " bytes", cause));
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
