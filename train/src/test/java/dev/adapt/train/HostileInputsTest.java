package dev.adapt.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeout;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.InputFile;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.data.Lines;
import dev.adapt.train.image.Picture;
import dev.adapt.train.image.Pictures;
import dev.adapt.train.image.Preprocessor;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import java.util.zip.DeflaterOutputStream;
import java.util.zip.GZIPOutputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Files made to do harm, as a table: file, content, and what the one sentence says. */
@DisplayName("A hostile file of training data")
class HostileInputsTest {
    private static final int MIB = 1 << 20;

    /** What a refusal may allocate: bombs ask for gigabytes. */
    private static final long MOST_ALLOCATED = 96L * MIB;

    @TempDir
    private Path folder;

    /** Writes the file's content. */
    interface Content {
        void write(OutputStream out) throws IOException;
    }

    static Stream<Arguments> arrays() {
        String header = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 1, 1), }";
        String redos = "'descr': '<u1' 'fortran_order': False ".repeat(1500);
        return Stream.of(
                npz("no zip", out -> out.write(new byte[100]), "is not an npz file"),
                npz("empty", out -> {}, "is not an npz file"),
                npz("a zip without arrays", zip(), "expected 1 to 1000 arrays, found 0"),
                npz("no npy inside", zip(new byte[20]), "is not an npy array"),
                npz("npy that ends in its magic", zip(new byte[] {(byte) 0x93, 'N'}), "is not an npy array"),
                npz("slow for a regular expression", zip(npy(2, redos)), "has a header of 57000 bytes"),
                npz("the same, short", zip(npy(1, redos.substring(0, 9900))), "expected { at character 0"),
                npz("a header of 4 GiB", zip(npy(2, -1, header)), "has a header of 4294967295 bytes"),
                npz("a header cut off", zip(npy(1, 500, header)), "is cut off in its header"),
                npz("no dict", zip(npy(1, "1 + 1")), "expected { at character 0"),
                npz("code", zip(npy(1, "{'descr': __import__('os')}")), "expected a string at character 10"),
                npz("a field twice", zip(npy(1, "{'descr': '|u1', 'descr': '|u1'}")), "twice"),
                npz("a field missing", zip(npy(1, "{'descr': '|u1'}")), "expected descr, fortran_order and shape"),
                npz("text after the dict", zip(npy(1, header + " x")), "and nothing else"),
                npz("objects", zip(npy(1, header.replace("|u1", "|O"))), "expected integers, found the type \"|O\""),
                npz("elements of 0 bytes", zip(npy(1, header.replace("|u1", "|u0"))), "expected integers"),
                npz("column-major", zip(npy(1, header.replace("False", "True"))), "row-major order, found Fortran's"),
                npz("a negative size", zip(npy(1, header.replace("(2,", "(-2,"))), "expected a size of 0 to"),
                npz("a size beyond int", zip(npy(1, header.replace("(2,", "(4294967296,"))), "expected a size of 0 to"),
                npz("no images", two(header.replace("(2,", "(0,"), 0), "holds 0 images and labels of the shape [2]"),
                npz("no pixels", two(header.replace("1, 1)", "0, 1)"), 0), "there is nothing in it"),
                npz("five axes", two(header.replace("1, 1)", "1, 1, 1, 3)"), 6), "expected bytes [n, height, width]"),
                npz("two colours", two(header.replace("1, 1)", "1, 1, 2)"), 4), "expected bytes [n, height, width]"),
                npz("16 bits", two(header.replace("|u1", "<u2"), 4), "expected bytes [n, height, width]"),
                npz("other labels", two(header.replace("(2,", "(3,"), 3), "holds 3 images and labels of the shape [2]"),
                npz("data cut off", two(header, 1), "holds 1 bytes of data, its header gives 2"),
                npz("more data than declared", two(header, 3), "holds more bytes of data than the 2"),
                npz(
                        "more than Java holds",
                        two(header.replace("(2, 1, 1)", "(2, 40000, 40000)"), 2),
                        "has 40,000 × 40,000"),
                npz("overflow", two(header.replace("(2, 1, 1)", "(2, 65536, 65536)"), 2), "has 65,536 × 65,536 pixels"),
                npz("2 GiB from nothing", two(header.replace("1, 1)", "32768, 1500)"), 2), "such data are no images"),
                npz("a bomb that is not declared", two(header, 128 * MIB), "holds more bytes of data than the 2"),
                npz("a third bomb", bomb(header), "found [images, more] and [labels]"),
                npz("names of 60 kB", named("x".repeat(60_000), npy(1, "{}")), "(60,000 characters)"),
                npz("escapes in a name", named("\u001b[2J\n", npy(1, "{}")), "\\u001b[2J\\u000a: expected"),
                npz("1001 arrays", many(), "expected 1 to 1000 arrays, found 1001"),
                idx("empty", ints(), "is not an IDX file of bytes"),
                idx("floats", ints(0xd03, 1, 1, 1), "is not an IDX file of bytes"),
                idx("no axes", ints(0x800), "expected 1 to 4 axes, found 0"),
                idx("127 axes", ints(0x87f), "expected 1 to 4 axes, found 127"),
                idx("255 axes", ints(0x8ff), "expected 1 to 4 axes, found -1"),
                idx("header cut off", ints(0x803, 1, 1), "is cut off in its header"),
                idx("a negative size", ints(0x803, -1, 1, 1), "with a negative size"),
                idx("sizes whose product is 0 in 64 bits", ints(0x804, 1 << 30, 1 << 30, 16, 1), "at most 2 GiB"),
                idx("2 GiB declared", ints(0x803, 1 << 30, 1, 1), "such data are no images"),
                idx("cut off", ints(0x803, 8, 1, 1), "holds 0 bytes of data, its header gives 8"),
                idx("longer than declared", ints(0x803, 1, 1, 1, 7), "holds more bytes of data than the 1"),
                gz("no gzip", ints(0x803, 1, 1, 1), "cannot be decompressed by gzip"),
                gz("empty", ints(), "cannot be decompressed by gzip"),
                gz("a bomb", gzip(ints(0x803, 1, 1, 1), 128 * MIB), "holds more bytes of data than the 1"),
                gz("a declared bomb", gzip(ints(0x803, 1, 1 << 27, 1), 128 * MIB), "such data are no images"));
    }

    private static Arguments npz(String what, Content content, String sentence) {
        return Arguments.of("d.npz", what, content, sentence);
    }

    private static Arguments idx(String what, Content content, String sentence) {
        return Arguments.of("a-images-idx3-ubyte", what, content, sentence);
    }

    private static Arguments gz(String what, Content content, String sentence) {
        return Arguments.of("a-images-idx3-ubyte.gz", what, content, sentence);
    }

    @ParameterizedTest(name = "{0}, {1}: {3}")
    @MethodSource
    void arrays(String name, String what, Content content, String sentence) throws IOException {
        refuses(write(name, content), () -> Pictures.read(folder.resolve(name)), sentence);
    }

    static Stream<Arguments> images() {
        return Stream.of(
                Arguments.of("empty", (Content) out -> {}, "is no image that can be decoded"),
                Arguments.of("text", ints(0x68656c6c), "is no image that can be decoded"),
                Arguments.of("GIF", bytes("GIF89a\1\0\1\0\0\0\0"), "is no image that can be decoded"),
                Arguments.of("a PNG of 2,000,000,000 pixels", png(50_000, 40_000, 1000), "has 50,000 × 40,000 pixels"),
                Arguments.of("a PNG with edges of 2³¹ - 1", png(-1 >>> 1, -1 >>> 1, 0), "has 2,147,483,647 × 2,147,"),
                Arguments.of("a PNG with a negative edge", png(-5, 5, 0), "cannot be decoded"),
                Arguments.of("a PNG with no pixels", png(0, 0, 0), "cannot be decoded"),
                Arguments.of("a PNG without data", png(2, 2, 0), "cannot be decoded"),
                Arguments.of("a PNG's beginning", bytes("\u0089PNG\r\n\u001a\n"), "cannot be decoded"),
                Arguments.of("a JPEG's beginning", bytes("\u00ff\u00d8\u00ff\u00e0"), "cannot be decoded"),
                Arguments.of(
                        "a JPEG of 65,280 × 65,280",
                        bytes("\u00ff\u00d8\u00ff\u00c0\0\u000b\b\u00ff\0\u00ff\0\1\1\u0011\0"
                                + "\u00ff\u00da\0\b\1\1\0\0?\0\0\0"),
                        "has 65,280 × 65,280 pixels"));
    }

    @ParameterizedTest(name = "{0}: {2}")
    @MethodSource
    void images(String what, Content content, String sentence) throws IOException {
        Path file = write("image.png", content);
        refuses(file, () -> Picture.read(InputFile.named(file)), sentence);
    }

    static Stream<Arguments> texts() {
        String wide = new String("text\tlabel\n".getBytes(StandardCharsets.UTF_16), StandardCharsets.ISO_8859_1);
        String blanks = " ".repeat(1 << 10);
        return Stream.of(
                Arguments.of(
                        "a.tsv", "a line of 64 MiB", repeated("a\t", 32 * MIB, ""), "line 1: is longer than 4 MiB"),
                Arguments.of(
                        "a.csv", "an open quote of 64 MiB", repeated("\"a\n", 22 * MIB, ""), "text after a closing"),
                Arguments.of(
                        "a.csv",
                        "one quote, 64 MiB",
                        repeated("a".repeat(999) + "\n", 65_000, "\""),
                        "closes within 4 MiB"),
                Arguments.of(
                        "a.jsonl", "a line of 64 MiB", repeated("[", 64 * MIB, ""), "line 1: is longer than 4 MiB"),
                Arguments.of(
                        "a.jsonl", "4,000,000 brackets", repeated("[", 4_000_000, ""), "line 1: is not valid JSON"),
                Arguments.of("a.jsonl", "two values", bytes("{\"a\": 1} {}\n"), "line 1: is not valid JSON"),
                Arguments.of("a.jsonl", "a key twice", bytes("{\"a\": 1, \"a\": 2}\n"), "Duplicate field"),
                Arguments.of("a.jsonl", "a number of 1 MiB", repeated("1", MIB, ""), "line 1: is not valid JSON"),
                Arguments.of(
                        "a.jsonl",
                        "a list in the place of an id",
                        bytes("{\"label\": 1, \"input_ids\": [[" + "7,".repeat(9999) + "7]]}\n"),
                        "(20,001 characters) in \"input_ids\""),
                Arguments.of("a.tsv", "NUL", bytes("a\tb\0\n"), "line 1: holds a NUL character"),
                Arguments.of("a.tsv", "UTF-16", bytes(wide), "line 1: is not valid UTF-8 but UTF-16"),
                Arguments.of("a.tsv", "not UTF-8", bytes("a\tb\na\t\u00ff\n"), "line 2: is not valid UTF-8"),
                Arguments.of("a.txt", "not UTF-8", bytes("a\u00ff\n"), "text: is not valid UTF-8"),
                Arguments.of("a.txt", "blanks", repeated(blanks, 1000, ""), "more than 1000000 blanks in a row"));
    }

    @ParameterizedTest(name = "{0}, {1}: {3}")
    @MethodSource
    void texts(String name, String what, Content content, String sentence) throws IOException {
        Path file = write(name, content);
        refuses(
                file,
                () -> {
                    if (Lines.named(file, ".txt")) {
                        Lines.document(file);
                    } else {
                        Dataset.read(file, Dataset.Columns.UNKNOWN);
                    }
                },
                sentence);
    }

    static Stream<Arguments> preprocessors() {
        return Stream.of(
                Arguments.of("{\"size\": 1e9}", "size: expected 1 to 4096 pixels"),
                Arguments.of("{\"size\": 1000000000}", "size: expected 1 to 4096 pixels"),
                Arguments.of("{\"size\": 0}", "size: expected 1 to 4096 pixels"),
                Arguments.of("{\"size\": \"224\"}", "size: expected 1 to 4096 pixels"),
                Arguments.of("{\"size\": {\"depth\": 3}}", "size: expected a number, or an object"),
                Arguments.of("{\"size\": {\"height\": -2, \"width\": 2}}", "size: expected 1 to 4096 pixels"),
                Arguments.of("{\"size\": {\"shortest_edge\": 99999}}", "size: expected 1 to 4096 pixels"),
                Arguments.of("{\"do_center_crop\": true, \"crop_size\": 2147483647}", "crop_size: expected 1 to"),
                Arguments.of("{\"do_resize\": 7}", "do_resize: expected true or false"),
                Arguments.of("{\"resample\": 2.5}", "resample: expected one of Pillow's filters"),
                Arguments.of("{\"resample\": 1e999}", "resample: expected"),
                Arguments.of("{\"rescale_factor\": 1e999}", "rescale_factor: expected"),
                Arguments.of("{\"rescale_factor\": 0}", "rescale_factor: expected a number above 0"),
                Arguments.of("{\"rescale_factor\": -1}", "rescale_factor: expected a number above 0"),
                Arguments.of("{\"image_std\": [0.5, 0, 0.5]}", "image_std: expected numbers above 0"),
                Arguments.of("{\"image_std\": -0.5}", "image_std: expected numbers above 0"),
                Arguments.of("{\"image_std\": [0.5]}", "image_std: expected a number for each of 3 colours"),
                Arguments.of("{\"image_std\": 1e-30}", "makes pixel values of up to"),
                Arguments.of("{\"image_mean\": 1e300}", "image_mean: expected numbers of a usual size"),
                Arguments.of("{\"image_mean\": {}}", "image_mean: expected a number for each of 3 colours"));
    }

    @ParameterizedTest(name = "{0}: {1}")
    @MethodSource
    void preprocessors(String json, String sentence) throws IOException {
        Path file = Files.writeString(folder.resolve("preprocessor_config.json"), json);
        refuses(file, () -> Preprocessor.of(folder, 3, 2), sentence);
    }

    @Test
    @DisplayName("that is a long strip is refused, not resized to gigabytes")
    void strip() throws IOException {
        Path file = Files.writeString(
                folder.resolve("preprocessor_config.json"),
                "{\"size\": {\"shortest_edge\": 224}, \"do_center_crop\": true, \"crop_size\": 224}");
        Preprocessor preprocessor = Preprocessor.of(folder, 3, 224);
        Picture strip = Picture.of(1, 1_000_000, 1, new byte[1_000_000], 0);
        refuses(file, () -> preprocessor.apply(strip, new float[3 * 224 * 224], 0), "to 224000000 × 224");
    }

    /** A reader that must refuse. */
    interface Reading {
        void read() throws IOException;
    }

    private static void refuses(Path file, Reading reading, String sentence) {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long before = threads.getCurrentThreadAllocatedBytes();
        FormatException thrown =
                assertTimeout(Duration.ofSeconds(20), () -> assertThrows(FormatException.class, reading::read));
        long allocated = threads.getCurrentThreadAllocatedBytes() - before;
        assertTrue(thrown.getMessage().startsWith(file.toString()), thrown::getMessage);
        assertTrue(thrown.getMessage().contains(sentence), thrown::getMessage);
        assertTrue(thrown.getMessage().length() < file.toString().length() + 600, thrown::getMessage);
        assertEquals(1, thrown.getMessage().lines().count(), thrown::getMessage);
        assertTrue(allocated < MOST_ALLOCATED, () -> "allocated " + allocated);
    }

    private Path write(String name, Content content) throws IOException {
        Path file = folder.resolve(name);
        try (OutputStream out = Files.newOutputStream(file)) {
            content.write(out);
        }
        if (name.contains("images-idx3")) {
            Files.write(folder.resolve(name.replace("images-idx3", "labels-idx1")), new byte[0]);
        }
        return file;
    }

    private static Content bytes(String latin) {
        return out -> out.write(latin.getBytes(StandardCharsets.ISO_8859_1));
    }

    private static Content repeated(String unit, int count, String before) {
        return out -> {
            out.write(before.getBytes(StandardCharsets.UTF_8));
            byte[] some = unit.repeat(1000).getBytes(StandardCharsets.UTF_8);
            for (int i = 0; i < count / 1000; i++) {
                out.write(some);
            }
        };
    }

    private static Content ints(int... values) {
        ByteBuffer buffer = ByteBuffer.allocate(4 * values.length);
        Arrays.stream(values).forEach(buffer::putInt);
        return out -> out.write(buffer.array());
    }

    private static byte[] npy(int version, String header) {
        return npy(version, header.length(), header);
    }

    private static byte[] npy(int version, int length, String header) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.writeBytes(new byte[] {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', (byte) version, 0});
        for (int i = 0; i < (version == 1 ? 2 : 4); i++) {
            out.write(length >> (8 * i));
        }
        out.writeBytes(header.getBytes(StandardCharsets.ISO_8859_1));
        return out.toByteArray();
    }

    private static Content zip(byte[]... arrays) {
        return out -> {
            try (ZipOutputStream zip = new ZipOutputStream(out)) {
                for (int i = 0; i < arrays.length; i++) {
                    zip.putNextEntry(new ZipEntry(i + ".npy"));
                    zip.write(arrays[i]);
                }
            }
        };
    }

    private static Content named(String name, byte[] array) {
        return out -> {
            try (ZipOutputStream zip = new ZipOutputStream(out)) {
                zip.putNextEntry(new ZipEntry(name));
                zip.write(array);
            }
        };
    }

    private static Content many() {
        return out -> {
            try (ZipOutputStream zip = new ZipOutputStream(out)) {
                for (int i = 0; i <= 1000; i++) {
                    zip.putNextEntry(new ZipEntry(Integer.toString(i)));
                }
            }
        };
    }

    /** Images with that header and so many zero bytes of data, and two labels. */
    private static Content two(String header, int dataBytes) {
        return parts(List.of("images"), header, dataBytes);
    }

    private static Content bomb(String header) {
        return parts(List.of("images", "more"), header, 128 * MIB);
    }

    private static Content parts(List<String> images, String header, int dataBytes) {
        return out -> {
            try (ZipOutputStream zip = new ZipOutputStream(out)) {
                zip.putNextEntry(new ZipEntry("labels.npy"));
                zip.write(npy(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }"));
                zip.write(new byte[2]);
                for (String name : images) {
                    zip.putNextEntry(new ZipEntry(name + ".npy"));
                    zip.write(npy(1, header));
                    zeros(zip, dataBytes);
                }
            }
        };
    }

    private static Content gzip(Content header, int dataBytes) {
        return out -> {
            try (GZIPOutputStream gzip = new GZIPOutputStream(out)) {
                header.write(gzip);
                zeros(gzip, dataBytes);
            }
        };
    }

    private static void zeros(OutputStream out, int bytes) throws IOException {
        byte[] some = new byte[MIB];
        for (int left = bytes; left > 0; left -= some.length) {
            out.write(some, 0, Math.min(left, some.length));
        }
    }

    /** A PNG of a grey image, with so many zero bytes of pixels. */
    private static Content png(int width, int height, int pixels) {
        return out -> {
            bytes("\u0089PNG\r\n\u001a\n").write(out);
            chunk(
                    out,
                    "IHDR",
                    ByteBuffer.allocate(13)
                            .putInt(width)
                            .putInt(height)
                            .put(new byte[] {8, 0, 0, 0, 0})
                            .array());
            ByteArrayOutputStream data = new ByteArrayOutputStream();
            try (DeflaterOutputStream deflater = new DeflaterOutputStream(data)) {
                deflater.write(new byte[pixels]);
            }
            chunk(out, "IDAT", pixels == 0 ? new byte[0] : data.toByteArray());
            chunk(out, "IEND", new byte[0]);
        };
    }

    private static void chunk(OutputStream out, String type, byte[] data) throws IOException {
        byte[] name = type.getBytes(StandardCharsets.ISO_8859_1);
        CRC32 sum = new CRC32();
        sum.update(name);
        sum.update(data);
        out.write(ByteBuffer.allocate(4).putInt(data.length).array());
        out.write(name);
        out.write(data);
        out.write(ByteBuffer.allocate(4).putInt((int) sum.getValue()).array());
    }
}
