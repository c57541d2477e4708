package dev.adapt.formats.checkpoint;

import dev.adapt.formats.FormatException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;

/** Reads and writes that are whole. */
final class Channels {
    private Channels() {}

    /**
     * Fills a buffer.
     *
     * @throws FormatException if the file ends before
     */
    static void readAt(Path file, FileChannel channel, ByteBuffer into, long position) throws IOException {
        long at = position;
        while (into.hasRemaining()) {
            int count = channel.read(into, at);
            if (count < 0) {
                throw new FormatException(file, "ends " + into.remaining() + " bytes early");
            }
            at += count;
        }
    }

    static void writeAt(FileChannel channel, ByteBuffer bytes, long position) throws IOException {
        long at = position;
        while (bytes.hasRemaining()) {
            at += channel.write(bytes, at);
        }
    }
}
