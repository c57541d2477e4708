package dev.adapt.formats.gguf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.gguf.GgufValue.Kind;
import dev.adapt.formats.tensor.Shape;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Random;
import java.util.SequencedMap;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Hostile headers: for each rule a file that breaks it, and no other end than its error. */
final class GgufStrictReadingTest {
    @TempDir
    Path folder;

    /** Little-endian bytes of a file. */
    private static final class Bytes {
        private final ByteArrayOutputStream out = new ByteArrayOutputStream();

        Bytes u32(long value) {
            return put(4, value);
        }

        Bytes u64(long value) {
            return put(8, value);
        }

        Bytes put(int count, long value) {
            out.write(
                    ByteBuffer.allocate(8)
                            .order(ByteOrder.LITTLE_ENDIAN)
                            .putLong(value)
                            .array(),
                    0,
                    count);
            return this;
        }

        Bytes text(String text) {
            byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
            u64(bytes.length);
            out.writeBytes(bytes);
            return this;
        }

        Bytes head(long version, long tensors, long entries) {
            return u32(0x46554747).u32(version).u64(tensors).u64(entries);
        }

        Bytes tensor(String name, long type, long offset, long... dims) {
            text(name).u32(dims.length);
            for (long dim : dims) {
                u64(dim);
            }
            return u32(type).u64(offset);
        }

        Bytes pad() {
            while (out.size() % 32 != 0) {
                out.write(0);
            }
            return this;
        }

        Bytes data(int count) {
            pad();
            out.writeBytes(new byte[count]);
            return this;
        }
    }

    private static Bytes broken(GgufRule rule) {
        Bytes bytes = new Bytes();
        return switch (rule) {
            case MAGIC -> bytes.u32(0x46464747).u32(3).u64(0).u64(0);
            case VERSION -> bytes.head(0x03000000, 0, 0);
            case COUNT -> bytes.head(3, -1, 0);
            case TRUNCATED -> bytes.head(3, 0, 1).text("key").u32(8).u64(1000).u64(0);
            // two strings of zeros, which the file has not on the disk
            case HEADER_TOO_LARGE -> bytes.head(3, 0, 2).text("a").u32(8).u64(GgufHeader.MAX_BYTES - 64);
            case KEY -> bytes.head(3, 0, 1).text("").u32(4).u32(1);
            case DUPLICATE_KEY ->
                bytes.head(3, 0, 2).text("k").u32(4).u32(1).text("k").u32(4).u32(1);
            case VALUE_KIND -> bytes.head(3, 0, 1).text("key").u32(13).u64(0);
            case BOOL -> bytes.head(3, 0, 1).text("key").u32(7).put(1, 2);
            case NOT_UTF8 -> bytes.head(3, 0, 1).text("key").u32(8).u64(1).put(1, 0xff);
            case ARRAY -> bytes.head(3, 0, 1).text("key").u32(9).u32(4).u64(Long.MAX_VALUE);
            case ALIGNMENT ->
                bytes.head(3, 0, 1).text("general.alignment").u32(4).u32(33);
            case TENSOR_NAME ->
                bytes.head(3, 1, 0).tensor("n".repeat(65), 0, 0, 1).data(32);
            case DUPLICATE_TENSOR ->
                bytes.head(3, 2, 0).tensor("a", 0, 0, 1).tensor("a", 0, 32, 1).data(64);
            case DIMENSIONS ->
                bytes.head(3, 1, 0).tensor("a", 0, 0, 1, 1, 1, 1, 1).data(32);
            case UNKNOWN_TYPE -> bytes.head(3, 1, 0).tensor("a", 4, 0, 32).data(32);
            case BLOCK -> bytes.head(3, 1, 0).tensor("a", 8, 0, 33).data(64);
            case OVERFLOW ->
                bytes.head(3, 1, 0).tensor("a", 0, 0, 1L << 32, 1L << 31).data(32);
            case MISALIGNED -> bytes.head(3, 1, 0).tensor("a", 0, 4, 1).data(64);
            case OVERLAP ->
                bytes.head(3, 2, 0).tensor("a", 0, 0, 16).tensor("b", 0, 32, 1).data(96);
            case HOLE -> bytes.head(3, 1, 0).tensor("a", 0, 32, 1).data(64);
            case MISSING_BYTES -> bytes.head(3, 1, 0).tensor("a", 0, 0, 1000).data(32);
            case EXTRA_BYTES -> bytes.head(3, 1, 0).tensor("a", 0, 0, 1).data(64);
        };
    }

    private GgufHeader open(byte[] bytes) throws IOException {
        Path file = folder.resolve("hostile.gguf");
        Files.write(file, bytes);
        try (GgufFile gguf = GgufFile.open(file)) {
            return gguf.header();
        }
    }

    @ParameterizedTest
    @EnumSource
    void eachRuleHasItsError(GgufRule rule) throws IOException {
        Path file = folder.resolve("hostile.gguf");
        Files.write(file, broken(rule).out.toByteArray());
        if (rule == GgufRule.HEADER_TOO_LARGE) {
            fill(file);
        }
        FormatException broken =
                assertThrows(FormatException.class, () -> GgufFile.open(file).close());
        assertEquals(rule, broken.rule().orElseThrow(), broken.getMessage());
    }

    /** Zeros up to the largest header, another entry, and more of it; the zeros take no place on the disk. */
    private static void fill(Path file) throws IOException {
        Bytes rest = new Bytes().text("b").u32(8).u64(1 << 17);
        try (RandomAccessFile sparse = new RandomAccessFile(file.toFile(), "rw")) {
            sparse.seek(Files.size(file) + GgufHeader.MAX_BYTES - 64);
            sparse.write(rest.out.toByteArray());
            sparse.setLength(sparse.getFilePointer() + (1 << 18));
        }
    }

    @Test
    void zeroDimensionsAndNestedArraysAreRefused() {
        List<Consumer<Bytes>> files = List.of(
                bytes -> bytes.head(3, 1, 0).tensor("a", 0, 0, 0).data(32),
                bytes -> bytes.head(3, 1, 0).tensor("a", 0, 0).data(32),
                bytes -> bytes.head(3, 1, 0).tensor("a", 0, -32, 1).data(32),
                bytes -> bytes.head(3, 0, 1)
                        .text("k")
                        .u32(9)
                        .u32(9)
                        .u64(1)
                        .u32(9)
                        .u64(1)
                        .u32(9)
                        .u64(0),
                bytes -> bytes.head(1, 0, 0),
                bytes -> {});
        for (Consumer<Bytes> file : files) {
            Bytes bytes = new Bytes();
            file.accept(bytes);
            assertThrows(FormatException.class, () -> open(bytes.out.toByteArray()));
        }
    }

    @Test
    void everyCutAndFlippedByteEndsInAnErrorOrAHeader() throws IOException {
        byte[] whole = sound();
        for (int length = 0; length < whole.length - 32; length++) {
            byte[] cut = Arrays.copyOf(whole, length);
            assertThrows(FormatException.class, () -> open(cut), "cut to " + length);
        }
        Random random = new Random(1);
        for (int i = 0; i < 3000; i++) {
            byte[] flipped = whole.clone();
            for (int flips = 0; flips <= i % 3; flips++) {
                flipped[random.nextInt(300)] = (byte) random.nextInt();
            }
            try {
                open(flipped);
            } catch (FormatException e) {
                assertTrue(e.rule().isPresent(), e.getMessage());
            }
        }
    }

    private byte[] sound() throws IOException {
        SequencedMap<String, GgufValue> metadata = new LinkedHashMap<>();
        metadata.put("general.architecture", GgufValue.text("llama"));
        metadata.put("flag", GgufValue.flag(true));
        metadata.put("f64", new GgufValue.Real(Kind.F64, 0.1));
        metadata.put("u16", new GgufValue.Whole(Kind.U16, 65_535));
        metadata.put("i8", new GgufValue.Whole(Kind.I8, -7));
        metadata.put("tokens", GgufValue.texts(List.of("a", "é", "\uD83D\uDE00")));
        metadata.put("scores", GgufValue.f32s(1, -2));
        metadata.put("nested", new GgufValue.Items(Kind.ARRAY, List.of(GgufValue.i32s(1, -1), GgufValue.i32s())));
        GgufHeader header = GgufHeader.of(
                metadata,
                List.of(
                        new GgufHeader.Spec("a.weight", GgmlType.F32, Shape.of(3, 5)),
                        new GgufHeader.Spec("b.weight", GgmlType.Q8_0, Shape.of(2, 64))));
        Path file = folder.resolve("sound.gguf");
        Files.deleteIfExists(file);
        try (GgufWriter _ = GgufWriter.create(file, header)) {
            // the data stay zero
        }
        try (GgufFile gguf = GgufFile.open(file)) {
            assertEquals(header, gguf.header());
            assertEquals(Files.size(file), header.fileBytes());
        }
        return Files.readAllBytes(file);
    }
}
