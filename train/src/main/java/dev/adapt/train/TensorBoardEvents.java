package dev.adapt.train;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Set;
import java.util.zip.CRC32C;

/**
 * A training log as TensorBoard reads it: records of TFRecord's format, each an Event of TensorFlow's event.proto. Its few
 * fields are written here, without the generated classes: wall_time 1 (double), step 2, file_version 3, and summary 5, which
 * holds one value 1 with tag 1 and simple_value 2 (float).
 */
final class TensorBoardEvents {
    static final String FILE = "events.out.tfevents.adapt";

    private static final JsonMapper JSON = new JsonMapper();
    private static final Set<String> COUNTS = Set.of("step", "epoch");
    private static final int CRC_MASK = 0xa282ead8;
    private static final int FIXED64 = 1;
    private static final int BYTES = 2;
    private static final int FIXED32 = 5;

    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final double wallTime;

    private TensorBoardEvents(double wallTime) {
        this.wallTime = wallTime;
    }

    /**
     * The events of a log.
     *
     * @param lines of training.jsonl
     * @param wallTime seconds since 1970, of all events
     */
    static byte[] of(List<String> lines, double wallTime) {
        TensorBoardEvents events = new TensorBoardEvents(wallTime);
        events.record(events.event(0, bytes(3, "brain.Event:2".getBytes(StandardCharsets.UTF_8))));
        long step = 0;
        for (String line : lines) {
            JsonNode node = parsed(line);
            boolean training = node.has("step");
            step = training ? node.get("step").asLong() : step;
            long now = step;
            node.properties().forEach(field -> {
                if (!COUNTS.contains(field.getKey()) && field.getValue().isNumber()) {
                    String tag = (training ? "train/" : "dev/") + field.getKey();
                    byte[] value = scalar(tag, (float) field.getValue().asDouble());
                    events.record(events.event(now, bytes(5, bytes(1, value))));
                }
            });
        }
        return events.out.toByteArray();
    }

    private static JsonNode parsed(String line) {
        try {
            return JSON.readTree(line);
        } catch (IOException e) {
            throw new UncheckedIOException(e); // lines that a log wrote
        }
    }

    private static byte[] scalar(String tag, float value) {
        byte[] number = new byte[5];
        little(number).put((byte) (2 << 3 | FIXED32)).putFloat(value);
        return joined(bytes(1, tag.getBytes(StandardCharsets.UTF_8)), number);
    }

    private byte[] event(long step, byte[] what) {
        byte[] time = new byte[9];
        little(time).put((byte) (1 << 3 | FIXED64)).putDouble(wallTime);
        return joined(time, new byte[] {2 << 3}, varint(step), what);
    }

    private static byte[] bytes(int field, byte[] value) {
        return joined(new byte[] {(byte) (field << 3 | BYTES)}, varint(value.length), value);
    }

    private static byte[] varint(long value) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        long rest = value;
        while (rest >= 0x80) {
            bytes.write((int) (rest & 0x7f) | 0x80);
            rest >>>= 7;
        }
        bytes.write((int) rest);
        return bytes.toByteArray();
    }

    private static byte[] joined(byte[]... parts) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            bytes.writeBytes(part);
        }
        return bytes.toByteArray();
    }

    /** Length, its checksum, the bytes, their checksum. */
    private void record(byte[] bytes) {
        byte[] length = new byte[8];
        little(length).putLong(bytes.length);
        out.writeBytes(length);
        writeChecksum(length);
        out.writeBytes(bytes);
        writeChecksum(bytes);
    }

    /** TFRecord's checksum: CRC-32C, turned and shifted, since records that hold checksums would confuse a plain one. */
    private void writeChecksum(byte[] bytes) {
        CRC32C crc = new CRC32C();
        crc.update(bytes);
        byte[] masked = new byte[4];
        little(masked).putInt(Integer.rotateRight((int) crc.getValue(), 15) + CRC_MASK);
        out.writeBytes(masked);
    }

    private static ByteBuffer little(byte[] bytes) {
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }
}
