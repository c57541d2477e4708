package dev.adapt.formats.gguf;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.gguf.GgufValue.Kind;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;

/** Reads one header and checks it, rule by rule; see {@link GgufRule}. Memory is bounded by the bytes read. */
final class GgufReader {
    private static final int BUFFER = 1 << 16;
    private static final int MOST_KEY = 65_535;
    private static final int MOST_NAME = 64;
    private static final int MOST_DIMENSIONS = 4;

    /** Single values in all arrays: the largest vocabularies of today have some 10⁶. */
    private static final long MOST_ITEMS = 1L << 24;

    /** Bytes of the smallest metadata entry and of the smallest tensor info. */
    private static final int LEAST_ENTRY = 8 + 1 + 4 + 1;

    private static final int LEAST_TENSOR = 8 + 1 + 4 + 8 + 4 + 8;

    private final Path file;
    private final FileChannel channel;
    private final long size;
    private final ByteBuffer buffer =
            ByteBuffer.allocate(BUFFER).order(ByteOrder.LITTLE_ENDIAN).limit(0);
    private long bufferStart;
    private long items;
    private String place = "header";

    private GgufReader(Path file, FileChannel channel) throws IOException {
        this.file = file;
        this.channel = channel;
        this.size = channel.size();
    }

    /**
     * Reads a header.
     *
     * @throws FormatException at the first {@link GgufRule} that is broken
     */
    static GgufHeader read(Path file, FileChannel channel) throws IOException {
        return new GgufReader(file, channel).read();
    }

    private GgufHeader read() throws IOException {
        if (size < 4 || u32() != GgufHeader.MAGIC) {
            throw GgufRule.MAGIC.brokenBy(file, place, 0, "does not begin with GGUF: not a GGUF file");
        }
        int version = u32();
        if (version != 2 && version != GgufHeader.VERSION) {
            boolean swapped = Integer.reverseBytes(version) == GgufHeader.VERSION;
            throw GgufRule.VERSION.brokenBy(
                    file,
                    place,
                    4,
                    swapped
                            ? "is big-endian, expected little-endian; write it again on an ordinary machine"
                            : "has version " + Integer.toUnsignedString(version) + ", expected 2 or 3");
        }
        long tensorCount = count(u64(), LEAST_TENSOR, "tensors");
        long entryCount = count(u64(), LEAST_ENTRY, "metadata entries");
        SequencedMap<String, GgufValue> metadata = new LinkedHashMap<>();
        for (long i = 0; i < entryCount; i++) {
            readEntry(metadata);
        }
        int alignment = alignment(metadata);
        List<GgufTensor> tensors = new ArrayList<>();
        Set<String> names = new HashSet<>();
        for (long i = 0; i < tensorCount; i++) {
            tensors.add(readTensor(names, alignment));
        }
        place = "data";
        long dataOffset = GgufHeader.aligned(at(), alignment);
        requirePlaced(tensors, dataOffset, alignment);
        return new GgufHeader(metadata, tensors, alignment, dataOffset);
    }

    private long count(long count, int least, String what) {
        if (count < 0 || count > (size - at()) / least) {
            throw fault(
                    GgufRule.COUNT,
                    "says that it has " + Long.toUnsignedString(count) + " " + what + ", more than its " + size
                            + " bytes can hold");
        }
        return count;
    }

    private void readEntry(SequencedMap<String, GgufValue> metadata) throws IOException {
        place = "metadata entry " + metadata.size();
        String key = text(GgufRule.KEY, 1, MOST_KEY);
        place = key;
        if (metadata.containsKey(key)) {
            throw fault(GgufRule.DUPLICATE_KEY, "stands twice in the metadata");
        }
        metadata.put(key, value(kind(), 0));
    }

    private Kind kind() throws IOException {
        int id = u32();
        Optional<Kind> kind = Kind.ofId(id);
        return kind.orElseThrow(
                () -> fault(GgufRule.VALUE_KIND, "has a value of the unknown kind " + Integer.toUnsignedString(id)));
    }

    private GgufValue value(Kind kind, int depth) throws IOException {
        return switch (kind) {
            case U8 -> new GgufValue.Whole(kind, u8());
            case I8 -> new GgufValue.Whole(kind, (byte) u8());
            case U16 -> new GgufValue.Whole(kind, bytes(2).getShort() & 0xffff);
            case I16 -> new GgufValue.Whole(kind, bytes(2).getShort());
            case U32 -> new GgufValue.Whole(kind, u32() & 0xffffffffL);
            case I32 -> new GgufValue.Whole(kind, u32());
            case U64, I64 -> new GgufValue.Whole(kind, u64());
            case F32 -> new GgufValue.Real(kind, Float.intBitsToFloat(u32()));
            case F64 -> new GgufValue.Real(kind, Double.longBitsToDouble(u64()));
            case BOOL -> {
                int flag = u8();
                if (flag > 1) {
                    throw fault(GgufRule.BOOL, "is a bool of " + flag + ", expected 0 or 1");
                }
                yield new GgufValue.Flag(flag == 1);
            }
            case STRING -> new GgufValue.Text(text(GgufRule.TRUNCATED, 0, GgufHeader.MAX_BYTES));
            case ARRAY -> array(depth);
        };
    }

    private GgufValue array(int depth) throws IOException {
        Kind of = kind();
        long count = u64();
        if (of == Kind.ARRAY && depth > 0) {
            throw fault(GgufRule.ARRAY, "is an array of arrays of arrays, which no reader expects");
        }
        items += count;
        if (count < 0 || count > (size - at()) / of.least() || items > MOST_ITEMS) {
            throw fault(
                    GgufRule.ARRAY,
                    "is an array of " + Long.toUnsignedString(count) + " values, more than the rest of the file or "
                            + MOST_ITEMS + " in all");
        }
        List<GgufValue> values = new ArrayList<>();
        for (long i = 0; i < count; i++) {
            values.add(value(of, depth + 1));
        }
        return new GgufValue.Items(of, values);
    }

    private int alignment(SequencedMap<String, GgufValue> metadata) {
        place = GgufHeader.ALIGNMENT_KEY;
        GgufValue said = metadata.get(GgufHeader.ALIGNMENT_KEY);
        if (said == null) {
            return GgufHeader.ALIGNMENT;
        }
        if (said instanceof GgufValue.Whole(Kind kind, long value)
                && kind == Kind.U32
                && value >= 8
                && value <= 65_536
                && Long.bitCount(value) == 1) {
            return (int) value;
        }
        throw fault(
                GgufRule.ALIGNMENT,
                "expected a power of two from 8 to 65536 as u32, found " + said.shown() + " as " + said.kind());
    }

    private GgufTensor readTensor(Set<String> names, int alignment) throws IOException {
        place = "tensor " + names.size();
        String name = text(GgufRule.TENSOR_NAME, 1, MOST_NAME);
        place = name;
        if (!names.add(name)) {
            throw fault(GgufRule.DUPLICATE_TENSOR, "stands twice among the tensors");
        }
        int rank = u32();
        if (rank < 1 || rank > MOST_DIMENSIONS) {
            throw fault(
                    GgufRule.DIMENSIONS,
                    "has " + Integer.toUnsignedString(rank) + " dimensions, expected 1 to " + MOST_DIMENSIONS);
        }
        long[] dims = new long[rank];
        for (int i = rank - 1; i >= 0; i--) {
            dims[i] = u64();
            if (dims[i] < 1) {
                throw fault(
                        GgufRule.DIMENSIONS,
                        "has a dimension of " + Long.toUnsignedString(dims[i]) + ", expected 1 to 2^63 - 1");
            }
        }
        int id = u32();
        GgmlType type = GgmlType.ofId(id)
                .orElseThrow(
                        () -> fault(GgufRule.UNKNOWN_TYPE, "has the unknown type " + Integer.toUnsignedString(id)));
        if (dims[rank - 1] % type.blockElements() != 0) {
            throw fault(
                    GgufRule.BLOCK,
                    "has rows of " + dims[rank - 1] + " elements, which are no whole blocks of " + type + " ("
                            + type.blockElements() + " elements)");
        }
        long begin = u64();
        try {
            Shape shape = Shape.of(dims);
            GgufTensor tensor = new GgufTensor(name, type, shape, begin);
            Math.addExact(GgufHeader.aligned(Math.addExact(tensor.bytes(), alignment), alignment), Math.max(0, begin));
            if (begin < 0 || begin % alignment != 0) {
                throw fault(
                        GgufRule.MISALIGNED,
                        "begins at " + Long.toUnsignedString(begin) + " of the data, no multiple of " + alignment);
            }
            return tensor;
        } catch (ArithmeticException e) {
            throw fault(GgufRule.OVERFLOW, "has dimensions and an offset whose bytes overflow");
        }
    }

    /** The tensors' data must follow each other, padded to the alignment, to the end of the file. */
    private void requirePlaced(List<GgufTensor> tensors, long dataOffset, int alignment) {
        long at = 0;
        long end = 0;
        for (GgufTensor tensor : tensors) {
            if (tensor.begin() != at) {
                boolean overlap = tensor.begin() < at;
                throw (overlap ? GgufRule.OVERLAP : GgufRule.HOLE)
                        .brokenBy(
                                file,
                                tensor.name(),
                                dataOffset + Math.min(at, tensor.begin()),
                                (overlap ? "overlaps the tensor" : "leaves a hole") + " before it: expected offset "
                                        + at + ", found " + tensor.begin());
            }
            end = at + tensor.bytes();
            if (dataOffset + end > size) {
                throw GgufRule.MISSING_BYTES.brokenBy(
                        file,
                        tensor.name(),
                        size,
                        "is truncated: its data end at byte " + (dataOffset + end) + ", the file has " + size
                                + "; download it again");
            }
            at = GgufHeader.aligned(end, alignment);
        }
        if (size > dataOffset + at) {
            throw GgufRule.EXTRA_BYTES.brokenBy(
                    file,
                    place,
                    dataOffset + at,
                    "has extra bytes at its end: " + (size - dataOffset - at) + " follow the last tensor");
        }
    }

    private String text(GgufRule rule, long least, long most) throws IOException {
        long length = u64();
        if (length < least || length > most) {
            throw fault(
                    rule,
                    "has a name or string of " + Long.toUnsignedString(length) + " bytes, expected " + least + " to "
                            + most);
        }
        if (length > size - at()) {
            throw fault(
                    GgufRule.TRUNCATED,
                    "has a string of " + length + " bytes, but only " + (size - at()) + " follow; download it again");
        }
        byte[] bytes = new byte[(int) length];
        for (int done = 0; done < bytes.length; ) {
            int step = Math.min(BUFFER / 2, bytes.length - done);
            bytes(step).get(bytes, done, step);
            done += step;
        }
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(bytes))
                    .toString();
        } catch (CharacterCodingException e) {
            throw fault(GgufRule.NOT_UTF8, "holds a string that is not valid UTF-8");
        }
    }

    private int u8() throws IOException {
        return bytes(1).get() & 0xff;
    }

    private int u32() throws IOException {
        return bytes(4).getInt();
    }

    private long u64() throws IOException {
        return bytes(8).getLong();
    }

    private long at() {
        return bufferStart + buffer.position();
    }

    /** The buffer, with so many bytes to be taken. */
    private ByteBuffer bytes(int count) throws IOException {
        if (buffer.remaining() < count) {
            long from = at();
            if (from + count > size) {
                throw fault(GgufRule.TRUNCATED, "ends within its header, after " + size + " bytes; download it again");
            }
            if (from > GgufHeader.MAX_BYTES) {
                throw fault(GgufRule.HEADER_TOO_LARGE, "has a header of more than " + GgufHeader.MAX_BYTES + " bytes");
            }
            bufferStart = from;
            buffer.clear();
            while (buffer.position() < count && channel.read(buffer, bufferStart + buffer.position()) >= 0) {
                // a channel may give less than is asked for
            }
            buffer.flip();
            if (buffer.remaining() < count) {
                throw fault(GgufRule.TRUNCATED, "became shorter while it was read");
            }
        }
        return buffer;
    }

    private FormatException fault(GgufRule rule, String reason) {
        return rule.brokenBy(file, place, Math.max(0, at()), reason);
    }
}
