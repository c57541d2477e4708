package dev.adapt.train.image;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.InputFile;
import dev.adapt.train.data.Shown;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import javax.imageio.ImageIO;
import javax.imageio.ImageReader;
import javax.imageio.stream.FileImageInputStream;
import javax.imageio.stream.ImageInputStream;

/**
 * An image of bytes.
 *
 * @param pixels row by row, red, green and blue of each pixel
 */
@SuppressWarnings("ArrayRecordComponent")
public record Picture(int width, int height, byte[] pixels) {
    public static final int CHANNELS = 3;

    /** As many as a camera of 48 megapixels takes; decoding needs 7 bytes for each. */
    static final int MOST_PIXELS = 50_000_000;

    /** Zlib makes a byte of 1032, which are 8256 pixels of black and white. */
    private static final long MOST_PER_BYTE = 10_000;

    /**
     * Decodes a file; transparency is dropped, as PIL's {@code convert("RGB")} drops it.
     *
     * @throws FormatException if Java's decoders cannot, or it has more than {@link #MOST_PIXELS}
     */
    public static Picture read(InputFile file) throws IOException {
        try (ImageInputStream in = new FileImageInputStream(file.path().toFile())) {
            return read(file.path(), in);
        }
    }

    /** Decodes an image; {@code file} is named in messages. */
    static Picture read(Path file, ImageInputStream in) {
        ImageReader reader = reader(file, in);
        try {
            reader.setInput(in, true, true);
            int width = reader.getWidth(0);
            int height = reader.getHeight(0);
            if ((long) width * height > MOST_PIXELS) {
                throw new FormatException(file, tooLarge(width, height));
            }
            if ((long) width * height > MOST_PER_BYTE * in.length()) {
                throw new FormatException(
                        file, "is too short for its " + width + " × " + height + " pixels: it is cut off, or a bomb");
            }
            return of(reader.read(0));
        } catch (FormatException e) {
            throw e;
        } catch (IOException | RuntimeException e) {
            // the decoders check little: what is broken comes as any exception
            throw new FormatException(file, "cannot be decoded: " + Shown.of(String.valueOf(e.getMessage())), e);
        } finally {
            reader.dispose();
        }
    }

    static String tooLarge(int width, int height) {
        return String.format(
                Locale.ROOT, "has %,d × %,d pixels, expected at most %,d in all", width, height, MOST_PIXELS);
    }

    /** The decoder that the content asks for, whatever the name says; Java would know more formats than these two. */
    private static ImageReader reader(Path file, ImageInputStream in) {
        for (String format : List.of("png", "jpeg")) {
            Iterator<ImageReader> readers = ImageIO.getImageReadersByFormatName(format);
            while (readers.hasNext()) {
                ImageReader reader = readers.next();
                try {
                    if (reader.getOriginatingProvider().canDecodeInput(in)) {
                        return reader;
                    }
                } catch (IOException e) {
                    throw new FormatException(file, "cannot be decoded: " + e.getMessage(), e);
                }
            }
        }
        throw new FormatException(file, "is no image that can be decoded; expected PNG or JPEG");
    }

    private static Picture of(BufferedImage image) {
        int width = image.getWidth();
        int[] row = new int[width];
        byte[] pixels = new byte[width * image.getHeight() * CHANNELS];
        for (int y = 0, to = 0; y < image.getHeight(); y++) {
            image.getRGB(0, y, width, 1, row, 0, width);
            for (int colour : row) {
                pixels[to++] = (byte) (colour >> 16);
                pixels[to++] = (byte) (colour >> 8);
                pixels[to++] = (byte) colour;
            }
        }
        return new Picture(width, image.getHeight(), pixels);
    }

    /** A picture from an array of bytes [height, width, channels], with one channel (grey) or three. */
    public static Picture of(int height, int width, int channels, byte[] bytes, int from) {
        byte[] pixels = new byte[height * width * CHANNELS];
        for (int i = 0; i < pixels.length; i++) {
            pixels[i] = bytes[from + (channels == 1 ? i / CHANNELS : i)];
        }
        return new Picture(width, height, pixels);
    }

    /** A part of the picture; what lies outside is black. */
    Picture crop(int left, int top, int newWidth, int newHeight) {
        byte[] cropped = new byte[newWidth * newHeight * CHANNELS];
        for (int y = Math.max(0, -top); y < newHeight && y + top < height; y++) {
            int from = Math.max(0, -left);
            int to = Math.min(newWidth, width - left);
            if (from < to) {
                System.arraycopy(
                        pixels,
                        ((y + top) * width + from + left) * CHANNELS,
                        cropped,
                        (y * newWidth + from) * CHANNELS,
                        (to - from) * CHANNELS);
            }
        }
        return new Picture(newWidth, newHeight, cropped);
    }
}
