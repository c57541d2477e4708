package dev.adapt.formats.safetensors;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("Each rule of the safetensors format has its own error")
class StrictReadingTest {
    @TempDir
    private Path folder;

    @ParameterizedTest(name = "{1}")
    @CsvSource(delimiter = '|', quoteCharacter = '`', textBlock = """
            [1]                                                                             | must start with '{'
            {"a"}                                                                           | not valid JSON
            {"a":1}                                                                         | a: must be an object
            {"a":{"dtype":"F32","shape":[1]}}                                               | a: lacks one of
            {"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}                          | a: has the unknown dtype F33
            {"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}                    | a: has the unknown field x
            {"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}                          | a: shape [2] of F32 needs 8 bytes, the header gives 4
            {"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}                         | a: shape must hold non-negative integers
            {"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}                        | a: shape must hold non-negative integers
            {"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4]}}       | a: shape must hold non-negative integers
            {"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}}      | a: shape [4611686018427387904, 4] of F32 overflows
            {"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}                           | a: is misaligned
            {"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}                          | a: data_offsets must be [begin, end]
            {"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}}                        | a: data_offsets must be [begin, end]
            {"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}                          | has extra bytes at its end
            {"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}                          | is truncated
            {"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}                           | a: data_offsets leaves a hole before it
            {"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}} | b: data_offsets overlaps
            {"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}} | has a duplicate key
            {"a":{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}}              | has a duplicate key
            {"__metadata__":{"k":1}}                                                        | __metadata__: k must be a string
            {"__metadata__":[]}                                                             | __metadata__: must be an object of strings
            {"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}x                         | followed by something other than padding
            """)
    void refuses(String json, String expected) throws IOException {
        Path file = write(json.getBytes(StandardCharsets.UTF_8), new byte[4]);
        assertRefused(file, expected);
    }

    @Test
    @DisplayName("not UTF-8")
    void notUtf8() throws IOException {
        assertRefused(write(new byte[] {'{', '"', (byte) 0xff, '"', '}'}, new byte[0]), "not valid UTF-8");
    }

    @Test
    @DisplayName("a file too short for a header, a header longer than the file, and one over the format's limit")
    void lengths() throws IOException {
        Path file = folder.resolve("short.safetensors");
        Files.write(file, new byte[7]);
        assertRefused(file, "7 bytes, too few for a header");
        Files.write(file, prefix(100).putShort((short) 0).array());
        assertRefused(file, "header length 100, but only 2 bytes follow");
        Files.write(file, prefix(100_000_001).putShort((short) 0).array());
        assertRefused(file, "exceeds the format's limit");
        Files.write(file, prefix(-1).putShort((short) 0).array());
        assertRefused(file, "exceeds the format's limit");
    }

    @Test
    @DisplayName("100,000 overlapping tensors")
    void manyOverlaps() throws IOException {
        String json = IntStream.range(0, 100_000)
                .mapToObj(i -> "\"t" + i + "\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}")
                .collect(Collectors.joining(",", "{", "}"));
        assertRefused(write(json.getBytes(StandardCharsets.UTF_8), new byte[4]), "overlaps the tensor before it");
    }

    @Test
    @DisplayName("A scalar, an empty tensor between others and padding spaces are valid")
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
    }

    private static void assertRefused(Path file, String expected) {
        FormatException refusal = assertThrows(FormatException.class, () -> SafetensorsFile.open(file));
        assertTrue(refusal.getMessage().contains(expected), refusal.getMessage());
        assertTrue(refusal.getMessage().startsWith(file.toString()), refusal.getMessage());
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
