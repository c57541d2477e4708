package dev.adapt.formats.safetensors;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("Each rule of the safetensors format has its own error")
class StrictReadingTest {
    @TempDir
    private Path folder;

    @ParameterizedTest(name = "{1}: {2}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', textBlock = """
            [1]                                                                             | HEADER_START    | must start with '{'
             {}                                                                             | HEADER_START    | must start with '{'
            {"a"}                                                                           | NOT_JSON        | header: is not valid JSON
            {                                                                               | NOT_JSON        | header: is not valid JSON
            {"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}                           | NOT_JSON        | header: is not valid JSON
            {"a":1}                                                                         | TENSOR_FIELDS   | a: must be an object
            {"a":null}                                                                      | TENSOR_FIELDS   | a: must be an object
            {"a":[[[[[[]]]]]]}                                                              | TENSOR_FIELDS   | a: must be an object
            {"a":{"dtype":"F32","shape":[1]}}                                               | TENSOR_FIELDS   | a: lacks one of
            {"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}                    | TENSOR_FIELDS   | a: has the unknown field x
            {"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}                          | UNKNOWN_DTYPE   | a: has the unknown dtype F33
            {"a":{"dtype":"f32","shape":[1],"data_offsets":[0,4]}}                          | UNKNOWN_DTYPE   | a: has the unknown dtype f32
            {"a":{"dtype":32,"shape":[1],"data_offsets":[0,4]}}                             | UNKNOWN_DTYPE   | a: has the unknown dtype 32
            {"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}                         | SHAPE           | a: shape must hold non-negative integers, found -1
            {"a":{"dtype":"F32","shape":[-0],"data_offsets":[0,0]}}                         | SHAPE           | a: shape must hold non-negative integers, found -0
            {"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}                        | SHAPE           | a: shape must hold non-negative integers, found 1.0
            {"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}}                        | SHAPE           | a: shape must hold non-negative integers, found 1
            {"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}}                        | SHAPE           | a: shape must hold non-negative integers, found a list
            {"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}}                            | SHAPE           | a: shape must be a list of integers, found 1
            {"a":{"dtype":"F32","shape":[1],"data_offsets":{}}}                             | OFFSETS         | a: data_offsets must be a list of integers
            {"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}                         | OFFSETS         | a: data_offsets must hold non-negative integers
            {"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}                          | OFFSETS         | a: data_offsets must be [begin, end], found [4, 0]
            {"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}}                        | OFFSETS         | a: data_offsets must be [begin, end]
            {"a":{"dtype":"I32","shape":[2,18446744073709551614],"data_offsets":[0,16]}}    | OVERFLOW        | a: shape overflows: 18446744073709551614
            {"a":{"dtype":"I32","shape":[2,9223372036854775807],"data_offsets":[0,16]}}     | OVERFLOW        | a: shape [2, 9223372036854775807] of I32 overflows
            {"a":{"dtype":"F32","shape":[1],"data_offsets":[0,99999999999999999999]}}       | OVERFLOW        | a: data_offsets overflows
            {"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}}      | OVERFLOW        | a: shape [4611686018427387904, 4] of F32 overflows
            {"a":{"dtype":"U8","shape":[4611686018427387904],"data_offsets":[0,4611686018427387904]}} | OVERFLOW | a: shape [4611686018427387904] of U8 overflows
            {"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}                           | MISALIGNED      | a: is misaligned: shape [3] of F4
            {"a":{"dtype":"F6_E2M3","shape":[2],"data_offsets":[0,2]}}                      | MISALIGNED      | a: is misaligned: shape [2] of F6_E2M3
            {"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}                          | SIZE            | a: shape [2] of F32 needs 8 bytes, the header gives 4
            {"a":{"dtype":"F4","shape":[4],"data_offsets":[0,4]}}                           | SIZE            | a: shape [4] of F4 needs 2 bytes, the header gives 4
            {"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}                          | EXTRA_BYTES     | has extra bytes at its end
            {}                                                                              | EXTRA_BYTES     | has extra bytes at its end: the header describes 0 bytes of data, found 4
            {"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}                          | MISSING_BYTES   | a: is truncated: the file lacks 4 of the 8 bytes
            {"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}                           | HOLE            | a: data_offsets leaves a hole before it: expected begin 0, found 2
            {"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[9223372036854775806,9223372036854775807]}} | HOLE | b: data_offsets leaves a hole
            {"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}} | OVERLAP | b: data_offsets overlaps
            {"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[0],"data_offsets":[2,2]}} | OVERLAP | b: data_offsets overlaps
            {"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}} | DUPLICATE_KEY | has a duplicate key
            {"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"\\u0061":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}} | DUPLICATE_KEY | has a duplicate key
            {"a":{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}}              | DUPLICATE_KEY   | has a duplicate key
            {"__metadata__":{"k":"1","k":"2"}}                                              | DUPLICATE_KEY   | has a duplicate key
            {"__metadata__":{},"__metadata__":{}}                                           | DUPLICATE_KEY   | has a duplicate key
            {"__metadata__":{"k":1}}                                                        | METADATA        | __metadata__: k must be a string, found 1
            {"__metadata__":{"k":{"l":"m"}}}                                                | METADATA        | __metadata__: k must be a string
            {"__metadata__":[]}                                                             | METADATA        | __metadata__: must be an object of strings
            {"__metadata__":{"k":"\\ud800"}}                                                | NOT_JSON        | half of a surrogate pair
            {"\\udc00":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}                     | NOT_JSON        | low surrogate
            {"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}x                         | PADDING         | followed by byte 0x
            {}{}                                                                            | PADDING         | followed by byte 0x
            """)
    void refuses(String json, SafetensorsRule rule, String expected) throws IOException {
        // CsvSource strips unquoted cells: the case with a leading space is put back
        String text = json.equals("{}") && rule == SafetensorsRule.HEADER_START ? " {}" : json;
        assertRefused(rule, expected, write(text.getBytes(StandardCharsets.UTF_8), new byte[4]));
    }

    @ParameterizedTest
    @ValueSource(strings = {"\n", "\t", "\r", "\u0000", "  \n "})
    @DisplayName("padding of anything but spaces")
    void padding(String padding) throws IOException {
        assertRefused(
                SafetensorsRule.PADDING,
                "only spaces as padding",
                write(("{}" + padding).getBytes(StandardCharsets.UTF_8), new byte[0]));
    }

    @Test
    @DisplayName("not UTF-8: a stray byte, an overlong form, UTF-16; each where it is")
    void notUtf8() throws IOException {
        byte[][] headers = {
            {'{', '"', (byte) 0xff, '"', '}'},
            {'{', '"', (byte) 0xc0, (byte) 0xaf, '"', '}'},
            {'{', '"', (byte) 0xed, (byte) 0xa0, (byte) 0x80, '"', '}'}
        };
        for (byte[] header : headers) {
            FormatException refusal =
                    assertRefused(SafetensorsRule.NOT_UTF8, "not valid UTF-8", write(header, new byte[0]));
            assertEquals(10, refusal.offset().orElseThrow());
        }
        byte[] utf16 = "{\"a\":1}".getBytes(StandardCharsets.UTF_16LE);
        assertRefused(SafetensorsRule.NOT_JSON, "not valid JSON", write(utf16, new byte[0]));
    }

    @Test
    @DisplayName(
            "a file too short for a header, a header longer than the file, an empty one, one over the format's limit")
    void lengths() throws IOException {
        Path file = folder.resolve("short.safetensors");
        Files.write(file, new byte[0]);
        assertRefused(SafetensorsRule.FILE_TOO_SMALL, "0 bytes, too few for a header", file);
        Files.write(file, new byte[7]);
        assertRefused(SafetensorsRule.FILE_TOO_SMALL, "7 bytes, too few for a header", file);
        Files.write(file, new byte[8]);
        assertRefused(SafetensorsRule.HEADER_START, "must start with '{'", file);
        Files.write(file, prefix(100).putShort((short) 0).array());
        assertRefused(SafetensorsRule.HEADER_BEYOND_FILE, "length is 100, but only 2 bytes follow", file);
        Files.write(file, prefix(100_000_001).putShort((short) 0).array());
        assertRefused(SafetensorsRule.HEADER_TOO_LARGE, "exceeds the format's limit", file);
        Files.write(file, prefix(-1).putShort((short) 0).array());
        assertRefused(SafetensorsRule.HEADER_TOO_LARGE, "18446744073709551615 exceeds the format's limit", file);
        FormatException folderGiven = assertThrows(FormatException.class, () -> SafetensorsFile.open(folder));
        assertTrue(folderGiven.getMessage().contains("is a folder"), folderGiven.getMessage());
    }

    @Test
    @DisplayName("100,000 overlapping tensors")
    void manyOverlaps() throws IOException {
        String json = IntStream.range(0, 100_000)
                .mapToObj(i -> "\"t" + i + "\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}")
                .collect(Collectors.joining(",", "{", "}"));
        assertRefused(
                SafetensorsRule.OVERLAP,
                "overlaps the tensor before it",
                write(json.getBytes(StandardCharsets.UTF_8), new byte[4]));
    }

    @Test
    @DisplayName("A fault's offset is the byte where the header says it, whatever characters stand before")
    void offsets() throws IOException {
        String json = "{\"äß\uD83D\uDE00\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},\"b\":7}";
        byte[] bytes = json.getBytes(StandardCharsets.UTF_8);
        FormatException refusal =
                assertRefused(SafetensorsRule.TENSOR_FIELDS, "b: must be an object", write(bytes, new byte[0]));
        int seven = new String(bytes, StandardCharsets.ISO_8859_1).indexOf('7');
        assertEquals(8 + seven, refusal.offset().orElseThrow());
        assertEquals(Optional.of("b"), refusal.place());
        assertTrue(refusal.getMessage().endsWith("(at byte " + (8 + seven) + " of the file)"), refusal.getMessage());
    }

    @Test
    @DisplayName("Long names and long metadata are valid")
    void longStrings() throws IOException {
        String name = "n".repeat(200_000);
        String note = "m".repeat(21_000_000);
        String json = "{\"__metadata__\":{\"note\":\"" + note + "\"},\"" + name
                + "\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}";
        try (SafetensorsFile file = SafetensorsFile.open(write(json.getBytes(StandardCharsets.UTF_8), new byte[4]))) {
            assertEquals(4, file.tensor(name).data().byteSize());
            assertEquals(note.length(), file.metadata().get("note").length());
        }
    }

    @Test
    @DisplayName("A file of 100 GB opens at the cost of its header, and its last byte is mapped")
    void hugeFile() throws IOException {
        long size = 100_000_000_000L;
        String json = "{\"t\":{\"dtype\":\"U8\",\"shape\":[" + size + "],\"data_offsets\":[0," + size + "]}}";
        Path path = write(json.getBytes(StandardCharsets.UTF_8), new byte[0]);
        try (RandomAccessFile sparse = new RandomAccessFile(path.toFile(), "rw")) {
            sparse.setLength(8 + json.length() + size);
            sparse.seek(8 + json.length() + size - 1);
            sparse.write(7);
        }
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            TensorView tensor = file.tensor("t");
            assertEquals(size, tensor.data().byteSize());
            assertEquals(0, tensor.data().get(ValueLayout.JAVA_BYTE, size / 2));
            assertEquals(7, tensor.data().get(ValueLayout.JAVA_BYTE, size - 1));
            assertThrows(FormatException.class, tensor::toFloats);
        }
    }

    @Test
    @DisplayName("A scalar, an empty tensor between others, no tensor at all, and padding spaces are valid")
    void accepts() throws IOException {
        String json = """
                {"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]},\
                "e":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]},\
                "__metadata__":{"format":"pt"}}  \s""";
        try (SafetensorsFile file = SafetensorsFile.open(
                write(json.getBytes(StandardCharsets.UTF_8), new byte[] {0, 0, (byte) 0x80, 0x3f}))) {
            assertEquals(1f, file.tensor("s").toFloats()[0]);
            assertEquals(0, file.tensor("e").toFloats().length);
            assertEquals("pt", file.metadata().get("format"));
            FormatException missing = assertThrows(FormatException.class, () -> file.tensor("x"));
            assertTrue(missing.getMessage().contains("x: no such tensor"), missing.getMessage());
        }
        try (SafetensorsFile empty = SafetensorsFile.open(write(new byte[] {'{', '}'}, new byte[0]))) {
            assertTrue(empty.tensors().isEmpty());
        }
    }

    private static FormatException assertRefused(SafetensorsRule rule, String expected, Path file) {
        FormatException refusal = assertThrows(FormatException.class, () -> SafetensorsFile.open(file));
        assertEquals(Optional.of(rule), refusal.rule(), refusal.getMessage());
        assertTrue(refusal.getMessage().contains(expected), refusal.getMessage());
        assertTrue(refusal.getMessage().startsWith(file.toString()), refusal.getMessage());
        assertTrue(refusal.place().isPresent() && refusal.offset().isPresent(), refusal.getMessage());
        return refusal;
    }

    private Path write(byte[] json, byte[] data) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(8 + json.length + data.length).order(ByteOrder.LITTLE_ENDIAN);
        return Files.write(
                folder.resolve("model.safetensors"),
                bytes.putLong(json.length).put(json).put(data).array());
    }

    private static ByteBuffer prefix(long length) {
        return ByteBuffer.allocate(10).order(ByteOrder.LITTLE_ENDIAN).putLong(length);
    }
}
