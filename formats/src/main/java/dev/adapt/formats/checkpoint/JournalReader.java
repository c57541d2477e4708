package dev.adapt.formats.checkpoint;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.WholeIo;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.zip.CRC32C;

/** The records of a {@link PatchJournal}, read one by one; one is in memory at a time. */
final class JournalReader {
    /** Bytes of a file in a record, at most. */
    static final int PIECE = 1 << 20;

    private static final byte TARGET = 3;
    private static final byte KEPT = 4;
    private static final int HEAD = 1 + Short.BYTES + Long.BYTES + Integer.BYTES;
    private static final int MAX_NAME = 1 << 12;

    private final Path file;
    private final FileChannel channel;

    JournalReader(Path file, FileChannel channel) {
        this.file = file;
        this.channel = channel;
    }

    /** What takes a journal's records in their order. */
    interface Visitor {
        /**
         * A file that is changed; it comes before its bytes.
         *
         * @param size in bytes
         */
        void target(String name, String inode, long size) throws IOException;

        /** Bytes as they were before the change; valid during the call. */
        void kept(String name, long position, ByteBuffer bytes) throws IOException;
    }

    /**
     * Hands over all records.
     *
     * @param length the journal's size
     * @throws FormatException if a record is damaged, or the last one ends elsewhere
     */
    void read(long length, Visitor visitor) throws IOException {
        byte[] bytes = new byte[size(MAX_NAME, PIECE)];
        for (long at = JournalHeader.BYTES; at < length; ) {
            at += read(at, length, bytes, visitor);
        }
    }

    private int read(long at, long length, byte[] bytes, Visitor visitor) throws IOException {
        ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        if (length - at < HEAD) {
            throw damaged(file, at);
        }
        WholeIo.read(file, channel, buffer.limit(HEAD), at);
        byte kind = buffer.get(0);
        int nameLength = buffer.getShort(1);
        long position = buffer.getLong(1 + Short.BYTES);
        int count = buffer.getInt(1 + Short.BYTES + Long.BYTES);
        boolean sound = (kind == TARGET || kind == KEPT)
                && nameLength > 0
                && nameLength <= MAX_NAME
                && position >= 0
                && count >= 0
                && count <= PIECE
                && size(nameLength, count) <= length - at;
        if (!sound) {
            throw damaged(file, at);
        }
        int size = size(nameLength, count);
        WholeIo.read(file, channel, buffer.limit(size), at + HEAD);
        int checked = size - Integer.BYTES;
        if (buffer.getInt(checked) != checksum(bytes, checked)) {
            throw damaged(file, at);
        }
        String name = new String(bytes, HEAD, nameLength, StandardCharsets.UTF_8);
        if (kind == TARGET) {
            visitor.target(name, new String(bytes, HEAD + nameLength, count, StandardCharsets.UTF_8), position);
        } else {
            visitor.kept(name, position, buffer.slice(HEAD + nameLength, count));
        }
        return size;
    }

    /** The record that says which file is changed. */
    static ByteBuffer target(String name, String inode, long size) {
        return record(TARGET, name, size, ByteBuffer.wrap(inode.getBytes(StandardCharsets.UTF_8)));
    }

    /** The record that keeps bytes of a file. */
    static ByteBuffer kept(String name, long position, ByteBuffer bytes) {
        return record(KEPT, name, position, bytes);
    }

    private static ByteBuffer record(byte kind, String name, long position, ByteBuffer bytes) {
        byte[] encoded = name.getBytes(StandardCharsets.UTF_8);
        if (encoded.length > MAX_NAME || bytes.remaining() > PIECE) {
            throw new IllegalArgumentException(name + ": too much for a record of the journal");
        }
        ByteBuffer record = ByteBuffer.allocate(size(encoded.length, bytes.remaining()))
                .order(ByteOrder.LITTLE_ENDIAN)
                .put(kind)
                .putShort((short) encoded.length)
                .putLong(position)
                .putInt(bytes.remaining())
                .put(encoded)
                .put(bytes);
        return record.putInt(checksum(record.array(), record.position())).flip();
    }

    private static int size(int nameLength, int count) {
        return HEAD + nameLength + count + Integer.BYTES;
    }

    private static int checksum(byte[] bytes, int count) {
        CRC32C checksum = new CRC32C();
        checksum.update(bytes, 0, count);
        return (int) checksum.getValue();
    }

    static FormatException damaged(Path file, long at) {
        return new FormatException(
                file,
                "is damaged at byte " + at
                        + ", so that the checkpoint beside it cannot be put back as it was before it was"
                        + " changed in place; nothing was written: get that checkpoint again, and delete the journal");
    }
}
