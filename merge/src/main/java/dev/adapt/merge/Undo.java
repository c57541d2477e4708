package dev.adapt.merge;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.FormatException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * What an undo file says, beside its frames: how to make the base again from what was merged. The file holds frames,
 * this as JSON, its length (8 bytes, little-endian) and {@link #MAGIC}. A frame is Zstandard over the bytes of a run of a
 * tensor, exclusive-or'd with the merged ones where the tensor was adapted, the first bytes of all elements before the
 * second ones: the upper bytes of a small change are nearly all zero.
 *
 * @param texts small files of the base that the merge changed, by name
 */
@SuppressWarnings("ArrayRecordComponent")
record Undo(int version, List<BaseFile> files, Map<String, String> texts) {
    static final String MAGIC = "adaptund";
    static final int VERSION = 1;

    /** A file of the base: its first bytes, which are its header, and its tensors in the order of their data. */
    record BaseFile(String name, byte[] header, List<BaseTensor> tensors) {}

    /**
     * A tensor of the base.
     *
     * @param sha256 the base's digest, empty for a tensor that was copied
     * @param mergedSha256 the merged tensor's digest, empty where it is not needed to restore
     * @param frames none for a tensor that was copied
     */
    record BaseTensor(
            String name,
            String dtype,
            List<Long> shape,
            long bytes,
            String sha256,
            @JsonProperty("merged_sha256") String mergedSha256,
            List<Frame> frames) {
        boolean adapted() {
            return !mergedSha256.isEmpty();
        }
    }

    /** A run of a tensor's bytes, and where its frame lies in the undo file. */
    record Frame(long offset, int bytes, long position, int length) {}

    byte[] encode() throws IOException {
        return new JsonMapper().writeValueAsBytes(this);
    }

    /**
     * Reads what an undo file says.
     *
     * @throws FormatException if it is not an undo file, or not whole
     */
    static Undo read(Path path, FileChannel channel) throws IOException {
        int tail = Long.BYTES + MAGIC.length();
        long size = channel.size();
        byte[] end = read(path, channel, Math.max(0, size - tail), (int) Math.min(tail, size));
        boolean ours =
                size >= tail && new String(end, Long.BYTES, MAGIC.length(), StandardCharsets.US_ASCII).equals(MAGIC);
        long length = ours ? ByteBuffer.wrap(end).order(ByteOrder.LITTLE_ENDIAN).getLong(0) : 0;
        if (!ours || length <= 0 || length > size - tail || length > Integer.MAX_VALUE - 8) {
            throw new FormatException(path, "is not an undo file that `adapt merge --undo` wrote, or not all of one");
        }
        try {
            byte[] json = read(path, channel, size - tail - length, (int) length);
            Undo undo = new JsonMapper().readValue(json, Undo.class);
            if (undo.version() != VERSION) {
                throw new FormatException(
                        path, "is an undo file of version " + undo.version() + ", this adapt reads " + VERSION);
            }
            return undo;
        } catch (JsonProcessingException e) {
            throw new FormatException(path, "is a broken undo file: " + e.getOriginalMessage());
        }
    }

    /** Reads bytes of a file that must be there. */
    static byte[] read(Path path, FileChannel channel, long position, int length) throws IOException {
        byte[] all = new byte[length];
        ByteBuffer bytes = ByteBuffer.wrap(all);
        while (bytes.hasRemaining()) {
            if (channel.read(bytes, position + bytes.position()) < 0) {
                throw new FormatException(path, "ends " + bytes.remaining() + " bytes early");
            }
        }
        return all;
    }
}
