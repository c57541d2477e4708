package dev.adapt.train.image;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.zip.GZIPOutputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("Pictures")
class PicturesTest {
    @TempDir
    private Path folder;

    private static Picture grey(int width, int height, int... values) {
        byte[] bytes = new byte[values.length];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) values[i];
        }
        return Picture.of(height, width, 1, bytes, 0);
    }

    private static int[] red(Picture picture) {
        int[] values = new int[picture.pixels().length / 3];
        for (int i = 0; i < values.length; i++) {
            values[i] = picture.pixels()[3 * i] & 0xff;
        }
        return values;
    }

    @Test
    @DisplayName("of a folder have the class of the folder they are in")
    void ofFolder() throws IOException {
        for (String name : List.of("dogs/b.png", "cats/a.png")) {
            Path file = folder.resolve(name);
            Files.createDirectories(file.getParent());
            BufferedImage image = new BufferedImage(2, 1, BufferedImage.TYPE_INT_RGB);
            image.setRGB(1, 0, name.startsWith("d") ? 0x0a141e : 0x010203);
            ImageIO.write(image, "png", file.toFile());
        }
        Files.writeString(folder.resolve("cats/notes.txt"), "no image");
        Pictures pictures = Pictures.read(folder);
        assertEquals(List.of("cats", "dogs"), pictures.labels());
        assertArrayEquals(
                new byte[] {0, 0, 0, 10, 20, 30}, pictures.picture().apply(1).pixels());
        Files.writeString(folder.resolve("cats/a.png"), "no image");
        FormatException thrown =
                assertThrows(FormatException.class, () -> pictures.picture().apply(0));
        assertTrue(thrown.getMessage().contains("a.png: is no image that can be decoded"), thrown::getMessage);
    }

    @Test
    @DisplayName("of IDX files have their labels in the file beside, compressed or not")
    void ofIdx() throws IOException {
        byte[] images = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4};
        byte[] labels = {0, 0, 8, 1, 0, 0, 0, 2, 9, 7};
        Path plain = Files.write(folder.resolve("train-images-idx3-ubyte"), images);
        Files.write(folder.resolve("train-labels-idx1-ubyte"), labels);
        Pictures pictures = Pictures.read(plain);
        assertEquals(List.of("9", "7"), pictures.labels());
        assertArrayEquals(new int[] {3, 4}, red(pictures.picture().apply(1)));
        Path zipped = folder.resolve("t10k-images-idx3-ubyte.gz");
        gzip(zipped, images);
        gzip(folder.resolve("t10k-labels-idx1-ubyte.gz"), labels);
        assertArrayEquals(new int[] {1, 2}, red(Pictures.read(zipped).picture().apply(0)));
        Files.write(plain, Arrays.copyOf(images, 19));
        FormatException thrown = assertThrows(FormatException.class, () -> Pictures.read(plain));
        assertTrue(thrown.getMessage().contains("holds 3 bytes of data, its header gives 4"), thrown::getMessage);
    }

    private static void gzip(Path file, byte[] bytes) throws IOException {
        try (OutputStream out = new GZIPOutputStream(Files.newOutputStream(file))) {
            out.write(bytes);
        }
    }

    @Test
    @DisplayName("of an npz have labels of any integer type")
    void ofNpz() throws IOException {
        Path file = folder.resolve("d.npz");
        try (ZipOutputStream out = new ZipOutputStream(Files.newOutputStream(file))) {
            out.putNextEntry(new ZipEntry("train_images.npy"));
            out.write(npy("|u1", "(2, 1, 1, 3)", new byte[] {1, 2, 3, 4, 5, 6}));
            out.putNextEntry(new ZipEntry("train_labels.npy"));
            byte[] labels = ByteBuffer.allocate(16)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putLong(300)
                    .putLong(-2)
                    .array();
            out.write(npy("<i8", "(2, 1)", labels));
        }
        Pictures pictures = Pictures.read(file);
        assertEquals(List.of("300", "-2"), pictures.labels());
        assertArrayEquals(new byte[] {4, 5, 6}, pictures.picture().apply(1).pixels());
    }

    private static byte[] npy(String type, String shape, byte[] data) throws IOException {
        String header = "{'descr': '" + type + "', 'fortran_order': False, 'shape': " + shape + ", }\n";
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.write(new byte[] {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (byte) header.length(), 0});
        out.write(header.getBytes(StandardCharsets.ISO_8859_1));
        out.write(data);
        return out.toByteArray();
    }

    @Test
    @DisplayName("are resized with a filter as wide as the reduction, by hand: as Pillow does")
    void resize() {
        Picture row = grey(4, 1, 0, 80, 160, 240);
        // at the edge the filter is cut off: (0·3 + 80·3 + 160·1)/7, (80·1 + 160·3 + 240·3)/7
        assertArrayEquals(new int[] {57, 183}, red(Resampling.BILINEAR.resize(row, 2, 1)));
        assertArrayEquals(new int[] {40, 200}, red(Resampling.BOX.resize(row, 2, 1)));
        assertArrayEquals(new int[] {80, 240}, red(Resampling.NEAREST.resize(row, 2, 1)));
        // enlarging interpolates between the two nearest: weights 3/4 and 1/4
        assertArrayEquals(new int[] {0, 20, 60, 80}, red(Resampling.BILINEAR.resize(grey(2, 1, 0, 80), 4, 1)));
        // Keys' cubic weighs distances of 1/4 and 3/4 by 0.8671875 and 0.2265625: 100·0.2265625/1.09375
        assertEquals(21, red(Resampling.BICUBIC.resize(grey(2, 1, 0, 100), 4, 1))[1]);
        assertArrayEquals(
                red(Resampling.BICUBIC.resize(row, 3, 1)),
                red(Resampling.BICUBIC.resize(grey(1, 4, 0, 80, 160, 240), 1, 3)),
                "columns as rows");
        assertArrayEquals(new int[] {7, 7, 7}, red(Resampling.LANCZOS.resize(grey(5, 1, 7, 7, 7, 7, 7), 3, 1)));
    }

    @Test
    @DisplayName("become pixel values as preprocessor_config.json says")
    void preprocess() throws IOException {
        Picture picture = grey(4, 2, 0, 0, 255, 255, 0, 0, 255, 255);
        float[] values = new float[12];
        Preprocessor.of(folder, 3, 2).apply(picture, values, 0);
        assertArrayEquals(new float[] {-0.71765f, 0.71765f, -0.71765f, 0.71765f}, Arrays.copyOf(values, 4), 1e-5f);
        Files.writeString(folder.resolve("preprocessor_config.json"), """
                {"do_resize": true, "size": {"shortest_edge": 2}, "resample": 3, "do_center_crop": true,
                 "crop_size": {"height": 2, "width": 2}, "do_rescale": true, "rescale_factor": 0.00392156862745098,
                 "do_normalize": true, "image_mean": [0.5, 0.25, 0], "image_std": [0.5, 0.5, 2]}
                """);
        Preprocessor.of(folder, 3, 2).apply(picture, values, 0);
        assertArrayEquals(new float[] {-1, 1, -1, 1, -0.5f, 1.5f, -0.5f, 1.5f, 0, 0.5f, 0, 0.5f}, values, 1e-6f);
        Files.writeString(folder.resolve("preprocessor_config.json"), "{\"do_resize\": false}");
        FormatException thrown = assertThrows(
                FormatException.class, () -> Preprocessor.of(folder, 3, 2).apply(picture, values, 0));
        assertTrue(
                thrown.getMessage().contains("makes images of 4 × 2 pixels, the model takes 2 × 2"),
                thrown::getMessage);
    }
}
