package dev.adapt.train;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.Limit;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;

/** An array of integers as image data sets store it, row-major: IDX (MNIST's format) or NumPy's npy in an npz. */
@SuppressWarnings("ArrayRecordComponent")
record ByteArray(int[] shape, byte[] bytes, int width, ByteOrder order) {
    private static final int IDX_BYTES = 8;
    private static final Pattern HEADER = Pattern.compile(
            "'descr':\\s*'([<>|=])([ui])(\\d)'.*'fortran_order':\\s*False.*'shape':\\s*\\((\\d[\\d,\\s]*)\\)",
            Pattern.DOTALL);

    /** The number of elements along the first axis. */
    int rows() {
        return shape[0];
    }

    /** The number of elements. */
    int elements() {
        int elements = 1;
        for (int size : shape) {
            elements *= size;
        }
        return elements;
    }

    /** An element by its place in row-major order. */
    long at(int index) {
        ByteBuffer data = ByteBuffer.wrap(bytes).order(order);
        return switch (width) {
            case 1 -> bytes[index] & 0xff;
            case 2 -> data.getShort(2 * index);
            case 4 -> data.getInt(4 * index);
            default -> data.getLong(8 * index);
        };
    }

    /**
     * Reads an IDX file of unsigned bytes, compressed by gzip if its name ends so.
     *
     * @throws FormatException if it is none
     */
    static ByteArray idx(Path file) throws IOException {
        byte[] all = InputFile.named(file).bytes(Limit.DATA);
        if (Lines.named(file, ".gz")) {
            try (GZIPInputStream in = new GZIPInputStream(new ByteArrayInputStream(all))) {
                all = in.readAllBytes();
            } catch (IOException e) {
                throw new FormatException(file, "is not compressed by gzip: " + e.getMessage(), e);
            }
        }
        ByteBuffer buffer = ByteBuffer.wrap(all);
        if (all.length < 8 || buffer.getShort(0) != 0 || buffer.get(2) != IDX_BYTES) {
            throw new FormatException(file, "is not an IDX file of bytes");
        }
        int[] shape = new int[buffer.get(3)];
        int start = 4 + 4 * shape.length;
        long elements = 1;
        for (int axis = 0; axis < shape.length && all.length >= start; axis++) {
            shape[axis] = buffer.getInt(4 + 4 * axis);
            elements *= shape[axis];
        }
        if (shape.length == 0 || all.length - start != elements) {
            throw new FormatException(
                    file, "holds " + (all.length - start) + " bytes of data, its header gives " + elements);
        }
        return new ByteArray(shape, Arrays.copyOfRange(all, start, all.length), 1, ByteOrder.BIG_ENDIAN);
    }

    /**
     * The arrays of an npz file, by name.
     *
     * @throws FormatException if it is no zip file, or an array holds no integers in row-major order
     */
    static Map<String, ByteArray> npz(Path file) throws IOException {
        Map<String, ByteArray> arrays = new LinkedHashMap<>();
        try (ZipInputStream in =
                new ZipInputStream(Channels.newInputStream(InputFile.named(file).open()))) {
            for (ZipEntry entry = in.getNextEntry(); entry != null; entry = in.getNextEntry()) {
                String name = entry.getName().replaceFirst("\\.npy$", "");
                arrays.put(name, npy(file, name, in.readAllBytes()));
            }
        }
        if (arrays.isEmpty()) {
            throw new FormatException(file, "is not an npz file, or an empty one");
        }
        return arrays;
    }

    private static ByteArray npy(Path file, String name, byte[] all) {
        if (all.length < 12 || all[0] != (byte) 0x93 || all[1] != 'N') {
            throw new FormatException(file, name, "is not an npy array");
        }
        ByteBuffer buffer = ByteBuffer.wrap(all).order(ByteOrder.LITTLE_ENDIAN);
        int start = all[6] == 1 ? 10 : 12;
        int length = all[6] == 1 ? buffer.getShort(8) & 0xffff : buffer.getInt(8);
        if (length < 0 || length > all.length - start) {
            throw new FormatException(file, name, "is cut off");
        }
        String header = new String(all, start, length, StandardCharsets.ISO_8859_1);
        Matcher matcher = HEADER.matcher(header);
        if (!matcher.find()) {
            throw new FormatException(file, name, "expected integers in row-major order, found " + header.strip());
        }
        String[] sizes = matcher.group(4).replace(" ", "").split(",", -1);
        // a tuple of one ends with a comma
        int[] shape = new int[sizes[sizes.length - 1].isEmpty() ? sizes.length - 1 : sizes.length];
        long elements = 1;
        for (int axis = 0; axis < shape.length; axis++) {
            shape[axis] = Integer.parseInt(sizes[axis]);
            elements *= shape[axis];
        }
        int width = Integer.parseInt(matcher.group(3));
        byte[] data = Arrays.copyOfRange(all, start + length, all.length);
        if (data.length != elements * width) {
            throw new FormatException(
                    file, name, "holds " + data.length + " bytes of data, its header gives " + elements * width);
        }
        ByteOrder order = matcher.group(1).equals(">") ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN;
        return new ByteArray(shape, data, width, order);
    }
}
