package dev.adapt.train.image;

import dev.adapt.formats.FormatException;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.zip.ZipException;

/**
 * An array of integers as image data sets store it, row-major.
 *
 * @param width bytes of an element: 1, 2, 4 or 8
 * @param signed whether elements are in two's complement
 */
@SuppressWarnings("ArrayRecordComponent")
public record ByteArray(List<Integer> shape, byte[] bytes, int width, boolean signed, ByteOrder order) {
    /** The longest that Java can hold. */
    private static final long MOST_BYTES = Integer.MAX_VALUE - 8;

    /** From this size on, data that were compressed more than a hundredfold are taken for a bomb. */
    private static final long MOST_OF_A_FEW = 64L << 20;

    private static final int MOST_COMPRESSED = 100;

    public ByteArray {
        shape = List.copyOf(shape);
    }

    /** The number of elements along the first axis. */
    int rows() {
        return shape.getFirst();
    }

    /** An element by its place in row-major order, as decimal digits. */
    public String at(int index) {
        ByteBuffer data = ByteBuffer.wrap(bytes).order(order);
        return switch (width) {
            case 1 -> Integer.toString(signed ? bytes[index] : Byte.toUnsignedInt(bytes[index]));
            case 2 -> {
                short value = data.getShort(2 * index);
                yield Integer.toString(signed ? value : Short.toUnsignedInt(value));
            }
            case 4 ->
                signed ? Integer.toString(data.getInt(4 * index)) : Integer.toUnsignedString(data.getInt(4 * index));
            default -> signed ? Long.toString(data.getLong(8 * index)) : Long.toUnsignedString(data.getLong(8 * index));
        };
    }

    /**
     * The bytes that a shape asks for, once they are known to be worth allocating.
     *
     * @param stored bytes that hold them in the file, compressed or not
     * @throws FormatException if Java cannot hold them, or so few bytes hold so many only as a bomb
     */
    static long bytes(Path file, String array, List<Integer> shape, int width, long stored) {
        long bytes = width;
        for (int size : shape) {
            if (size < 0) {
                throw new FormatException(file, array, "has the shape " + shape + ", with a negative size");
            }
            // both factors are below 2^31
            bytes = Math.min(bytes * size, MOST_BYTES + 1);
            if (size == 0) {
                throw new FormatException(file, array, "has the shape " + shape + ": there is nothing in it");
            }
        }
        if (bytes > MOST_BYTES) {
            throw new FormatException(file, array, "has the shape " + shape + ": expected at most 2 GiB");
        }
        if (bytes > MOST_OF_A_FEW && bytes / MOST_COMPRESSED > stored) {
            throw new FormatException(
                    file,
                    array,
                    String.format(
                            Locale.ROOT,
                            "has the shape %s, %,d bytes of data, but only %,d bytes of the file hold them;"
                                    + " such data are no images",
                            shape,
                            bytes,
                            stored));
        }
        return bytes;
    }

    /**
     * Reads data that follow a header, and no more than it declares.
     *
     * @throws FormatException if the stream ends before or after, or is not compressed as it says
     */
    static byte[] data(Path file, String array, InputStream in, long bytes) throws IOException {
        try {
            // grows with what arrives, so that a short file does not take what its header declares
            byte[] data = in.readNBytes((int) bytes);
            if (data.length < bytes) {
                throw new FormatException(
                        file, array, "holds " + data.length + " bytes of data, its header gives " + bytes);
            }
            if (in.read() >= 0) {
                throw new FormatException(
                        file, array, "holds more bytes of data than the " + bytes + " that its header gives");
            }
            return data;
        } catch (ZipException | EOFException e) {
            throw new FormatException(file, array + ": cannot be decompressed: " + e.getMessage(), e);
        }
    }

    @Override
    public String toString() {
        return Arrays.toString(shape.toArray()) + " of " + 8 * width + "-bit integers";
    }
}
