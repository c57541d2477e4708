package dev.adapt.train;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.InputFile;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.channels.Channels;
import javax.imageio.ImageIO;

/**
 * An image of bytes.
 *
 * @param pixels row by row, red, green and blue of each pixel
 */
@SuppressWarnings("ArrayRecordComponent")
record Picture(int width, int height, byte[] pixels) {
    static final int CHANNELS = 3;

    /**
     * Decodes a file; transparency is dropped, as PIL's {@code convert("RGB")} drops it.
     *
     * @throws FormatException if Java's decoders cannot
     */
    static Picture read(InputFile file) throws IOException {
        BufferedImage image;
        try (var in = Channels.newInputStream(file.open())) {
            image = ImageIO.read(in);
        } catch (IOException | RuntimeException e) {
            throw new FormatException(file.path(), "cannot be decoded: " + e.getMessage(), e);
        }
        if (image == null) {
            throw new FormatException(file.path(), "is no image that can be decoded; expected PNG or JPEG");
        }
        int[] colours = image.getRGB(0, 0, image.getWidth(), image.getHeight(), null, 0, image.getWidth());
        byte[] pixels = new byte[colours.length * CHANNELS];
        for (int i = 0; i < colours.length; i++) {
            pixels[CHANNELS * i] = (byte) (colours[i] >> 16);
            pixels[CHANNELS * i + 1] = (byte) (colours[i] >> 8);
            pixels[CHANNELS * i + 2] = (byte) colours[i];
        }
        return new Picture(image.getWidth(), image.getHeight(), pixels);
    }

    /** A picture from an array of bytes [height, width, channels], with one channel (grey) or three. */
    static Picture of(int height, int width, int channels, byte[] bytes, int from) {
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
