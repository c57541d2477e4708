package dev.adapt.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("TensorBoard's event file")
class TensorBoardEventsTest {
    private static final List<String> LINES = List.of(
            "{\"epoch\":0,\"eval_loss\":0.75}",
            "{\"step\":200,\"epoch\":1,\"loss\":0.5,\"lr\":\"NaN\"}",
            "{\"epoch\":1,\"eval_loss\":0.25,\"accuracy\":1.0}");

    /** The records' bytes; each checksum is computed bit by bit, as CRC-32C is defined. */
    private static List<byte[]> records(byte[] file) {
        ByteBuffer bytes = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
        List<byte[]> records = new ArrayList<>();
        while (bytes.hasRemaining()) {
            byte[] length = new byte[8];
            bytes.get(length);
            assertEquals(masked(length), bytes.getInt(), "checksum of the length");
            byte[] record = new byte
                    [Math.toIntExact(ByteBuffer.wrap(length)
                            .order(ByteOrder.LITTLE_ENDIAN)
                            .getLong())];
            bytes.get(record);
            assertEquals(masked(record), bytes.getInt(), "checksum of the bytes");
            records.add(record);
        }
        return records;
    }

    private static int masked(byte[] bytes) {
        int crc = -1;
        for (byte each : bytes) {
            crc ^= each & 0xff;
            for (int bit = 0; bit < 8; bit++) {
                crc = (crc >>> 1) ^ ((crc & 1) == 1 ? 0x82f63b78 : 0);
            }
        }
        int value = ~crc;
        return ((value >>> 15) | (value << 17)) + 0xa282ead8;
    }

    @Test
    @DisplayName("holds a scalar for each number of the log, at its step")
    void scalars() {
        CRC32C known = new CRC32C();
        known.update("123456789".getBytes(StandardCharsets.US_ASCII));
        assertEquals(0xe3069283L, known.getValue(), "the check value of CRC-32C");
        List<byte[]> records = records(TensorBoardEvents.of(LINES, 1.5));
        assertEquals(5, records.size());
        HexFormat hex = HexFormat.of();
        // wall_time 1.5, step 0, file_version
        assertArrayEquals(
                hex.parseHex("09000000000000f83f" + "1000" + "1a0d" + "627261696e2e4576656e743a32"), records.get(0));
        // step 200; a summary of one value: tag train/loss, 0.5
        assertArrayEquals(
                hex.parseHex("09000000000000f83f" + "10c801" + "2a13" + "0a11" + "0a0a" + "747261696e2f6c6f7373"
                        + "150000003f"),
                records.get(2));
        List<String> tags = List.of("dev/eval_loss", "train/loss", "dev/eval_loss", "dev/accuracy");
        for (int i = 0; i < tags.size(); i++) {
            String text = new String(records.get(i + 1), StandardCharsets.ISO_8859_1);
            assertEquals(true, text.contains(tags.get(i)), "record " + (i + 1) + " is not " + tags.get(i));
        }
    }
}
