package dev.adapt.formats.io;

import dev.adapt.formats.FormatException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;

/** Reads and writes of all bytes of a buffer, which one call of a channel does not promise. */
public final class WholeIo {
    /** For each read the JDK keeps a buffer of its size outside of the heap. */
    private static final int PIECE = 1 << 16;

    private WholeIo() {}

    /**
     * Fills a buffer from a position of the file.
     *
     * @return whether it is full; false where the file ends early
     */
    public static boolean read(FileChannel channel, ByteBuffer into, long from) throws IOException {
        long at = from;
        while (into.hasRemaining()) {
            ByteBuffer piece = into.slice(into.position(), Math.min(PIECE, into.remaining()));
            int read = channel.read(piece, at);
            if (read < 0) {
                return false;
            }
            into.position(into.position() + read);
            at += read;
        }
        return true;
    }

    /**
     * The same, where the file must not end early.
     *
     * @throws FormatException if it does
     */
    public static void read(Path file, FileChannel channel, ByteBuffer into, long from) throws IOException {
        if (!read(channel, into, from)) {
            throw new FormatException(file, "ends " + into.remaining() + " bytes early");
        }
    }

    /** Writes a buffer at the channel's position. */
    public static void write(FileChannel channel, ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            channel.write(bytes);
        }
    }

    /** Writes a buffer at a position of the file. */
    public static void write(FileChannel channel, ByteBuffer bytes, long position) throws IOException {
        long at = position;
        while (bytes.hasRemaining()) {
            at += channel.write(bytes, at);
        }
    }
}
