package dev.adapt.formats.checkpoint;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.WholeIo;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Optional;
import java.util.zip.CRC32C;

/**
 * The first bytes of a {@link PatchJournal}.
 *
 * @param process the number of the process that wrote it
 * @param length the journal's size in bytes, once files may have been changed; 0 before
 */
record JournalHeader(long process, long length) {
    /** Its size in bytes. */
    static final int BYTES = 32;

    private static final String MAGIC = "adaptjn2";
    private static final String MAGIC_1 = "adaptjnl";
    private static final int PROCESS = 8;
    private static final int LENGTH = 16;
    private static final int CHECKSUM = 24;

    static JournalHeader own(long length) {
        return new JournalHeader(ProcessHandle.current().pid(), length);
    }

    void write(FileChannel channel) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(BYTES).order(ByteOrder.LITTLE_ENDIAN);
        bytes.put(MAGIC.getBytes(StandardCharsets.US_ASCII)).putLong(process).putLong(length);
        bytes.putInt(checksum(bytes.array())).clear();
        WholeIo.write(channel, bytes, 0);
    }

    /** The process is left out: whoever takes over a journal writes its own there. */
    private static int checksum(byte[] bytes) {
        CRC32C checksum = new CRC32C();
        checksum.update(bytes, 0, PROCESS);
        checksum.update(bytes, LENGTH, CHECKSUM - LENGTH);
        return (int) checksum.getValue();
    }

    /**
     * Reads the header of a journal; an empty file has none, since its process died before it wrote it.
     *
     * @throws FormatException if the file is no journal, one of another version, or damaged
     */
    static Optional<JournalHeader> read(Path file, FileChannel channel) throws IOException {
        long size = channel.size();
        if (size == 0) {
            return Optional.empty();
        }
        ByteBuffer bytes = ByteBuffer.allocate((int) Math.min(BYTES, size)).order(ByteOrder.LITTLE_ENDIAN);
        WholeIo.read(file, channel, bytes, 0);
        String magic =
                new String(bytes.array(), 0, Math.min(MAGIC.length(), bytes.capacity()), StandardCharsets.US_ASCII);
        if (magic.equals(MAGIC_1)) {
            throw new FormatException(
                    file,
                    "is a journal of format 1, which only an older adapt can read: open the checkpoint with that adapt,"
                            + " or get the checkpoint again and delete the journal");
        }
        if (!magic.equals(MAGIC)) {
            throw new FormatException(
                    file,
                    "has the name of adapt's journal and is none; it was left as it is: move it to another place");
        }
        if (size < BYTES || bytes.getInt(CHECKSUM) != checksum(bytes.array())) {
            throw JournalReader.damaged(file, 0);
        }
        return Optional.of(new JournalHeader(bytes.getLong(PROCESS), bytes.getLong(LENGTH)));
    }

    /** The process that wrote a journal, if the journal says so and that process lives. */
    static Optional<Long> process(Path file, FileChannel channel) {
        try {
            return read(file, channel)
                    .map(JournalHeader::process)
                    .filter(process -> process > 0)
                    .filter(process -> ProcessHandle.of(process).isPresent());
        } catch (IOException | FormatException e) {
            return Optional.empty();
        }
    }
}
