package dev.adapt.merge.undo;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.annotation.JsonSetter;
import com.fasterxml.jackson.annotation.Nulls;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.MapperFeature;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.WholeIo;
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
 * @param texts the base's config.json and index, by name
 * @param tokenizer files of the base's tokenizer that the merge replaced, by name
 * @param added files of a tokenizer that the merge added to those of the base
 */
@SuppressWarnings("ArrayRecordComponent")
record Undo(
        int version,
        List<BaseFile> files,
        Map<String, String> texts,
        Map<String, byte[]> tokenizer,
        List<String> added) {
    static final String MAGIC = "adaptund";
    static final int VERSION = 2;

    /** Of a merge that could not undo a change of the tokenizer. */
    private static final int WITHOUT_TOKENIZER = 1;

    /** The most bytes that a frame holds. */
    static final int MAX_FRAME = 1 << 26;

    /** The most bytes of JSON: a thousand times what the shards of a model of 70 billion parameters have in headers. */
    private static final int MAX_JSON = 1 << 27;

    /** The most of a text from the file that an error repeats. */
    private static final int MAX_QUOTED = 200;

    private static final JsonMapper MAPPER = JsonMapper.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .enable(
                    DeserializationFeature.FAIL_ON_MISSING_CREATOR_PROPERTIES,
                    DeserializationFeature.FAIL_ON_NULL_CREATOR_PROPERTIES,
                    DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES,
                    DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .disable(DeserializationFeature.ACCEPT_FLOAT_AS_INT)
            .disable(MapperFeature.ALLOW_COERCION_OF_SCALARS)
            .defaultSetterInfo(JsonSetter.Value.forContentNulls(Nulls.FAIL))
            .build();

    private static final ObjectReader VERSION_READER =
            MAPPER.readerFor(Version.class).without(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES);

    /** What all versions have. */
    private record Version(int version) {}

    /** Version 1. */
    private record Older(int version, List<BaseFile> files, Map<String, String> texts) {}

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

    /**
     * The JSON.
     *
     * @param path the undo file
     * @throws FormatException if it is more than {@link #read} takes
     */
    byte[] encode(Path path) throws IOException {
        byte[] json = MAPPER.writeValueAsBytes(this);
        if (json.length > MAX_JSON) {
            throw new FormatException(
                    path, "would need " + json.length + " bytes to describe the base, more than " + MAX_JSON);
        }
        return json;
    }

    /**
     * Reads what an undo file says, and checks it.
     *
     * @throws FormatException if it is not an undo file, not whole, or describes no checkpoint
     */
    static Undo read(Path path, FileChannel channel) throws IOException {
        int tail = Long.BYTES + MAGIC.length();
        long size = channel.size();
        byte[] end = read(path, channel, Math.max(0, size - tail), (int) Math.min(tail, size));
        boolean ours =
                size >= tail && new String(end, Long.BYTES, MAGIC.length(), StandardCharsets.US_ASCII).equals(MAGIC);
        long length = ours ? ByteBuffer.wrap(end).order(ByteOrder.LITTLE_ENDIAN).getLong(0) : 0;
        if (!ours || length <= 0 || length > size - tail) {
            throw new FormatException(path, "is not an undo file that `adapt merge --undo` wrote, or not all of one");
        }
        if (length > MAX_JSON) {
            throw new FormatException(
                    path, "is a broken undo file: its description has " + length + " bytes, at most " + MAX_JSON);
        }
        long framesEnd = size - tail - length;
        Undo undo = parse(path, read(path, channel, framesEnd, (int) length));
        UndoCheck.check(undo, path, framesEnd);
        return undo;
    }

    private static Undo parse(Path path, byte[] bytes) {
        try {
            Version version = VERSION_READER.readValue(bytes);
            if (version == null) {
                throw new FormatException(path, "is a broken undo file: it describes nothing");
            }
            return switch (version.version()) {
                case WITHOUT_TOKENIZER -> {
                    Older older = MAPPER.readValue(bytes, Older.class);
                    yield new Undo(VERSION, older.files(), older.texts(), Map.of(), List.of());
                }
                case VERSION -> MAPPER.readValue(bytes, Undo.class);
                default ->
                    throw new FormatException(
                            path,
                            "is an undo file of version " + version.version() + ", this adapt reads "
                                    + WITHOUT_TOKENIZER + " and " + VERSION);
            };
        } catch (IOException e) {
            // of what was read already: besides Jackson's own, the one for text that is no Unicode
            String reason = e instanceof JsonProcessingException json ? json.getOriginalMessage() : e.getMessage();
            throw new FormatException(path, "is a broken undo file: " + printable(String.valueOf(reason)));
        }
    }

    /** Text of the file as an error may repeat it: short, on one line. */
    static String printable(String text) {
        String line = text.substring(0, Math.min(text.length(), MAX_QUOTED)).replaceAll("\\p{Cntrl}", "?");
        return text.length() > MAX_QUOTED ? line + "…" : line;
    }

    /** Reads bytes of a file that must be there. */
    static byte[] read(Path path, FileChannel channel, long position, int length) throws IOException {
        byte[] all = new byte[length];
        WholeIo.read(path, channel, ByteBuffer.wrap(all), position);
        return all;
    }
}
