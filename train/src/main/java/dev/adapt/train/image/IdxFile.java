package dev.adapt.train.image;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.InputFile;
import dev.adapt.train.data.Lines;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipException;

/** The format of MNIST: two zero bytes, a type, the number of axes, their sizes (big-endian), and the data. */
public final class IdxFile {
    private static final int UNSIGNED_BYTES = 8;
    private static final int MOST_AXES = 4;

    private IdxFile() {}

    /**
     * Reads a file of unsigned bytes, compressed by gzip if its name ends in {@code .gz}.
     *
     * @throws FormatException if it is none
     */
    static ByteArray read(InputFile source) throws IOException {
        Path file = source.path();
        try (InputStream raw = source.stream();
                InputStream in = Lines.named(file, ".gz") ? new GZIPInputStream(raw, 1 << 16) : raw) {
            return read(file, in, source.snapshot().size());
        } catch (ZipException | EOFException e) {
            throw new FormatException(file, "cannot be decompressed by gzip: " + e.getMessage(), e);
        }
    }

    /** Reads a stream of which the file stores {@code stored} bytes. */
    public static ByteArray read(Path file, InputStream in, long stored) throws IOException {
        byte[] start = in.readNBytes(4);
        if (start.length < 4 || start[0] != 0 || start[1] != 0 || start[2] != UNSIGNED_BYTES) {
            throw new FormatException(file, "is not an IDX file of bytes");
        }
        int axes = start[3];
        if (axes < 1 || axes > MOST_AXES) {
            throw new FormatException(file, "expected 1 to " + MOST_AXES + " axes, found " + axes);
        }
        byte[] sizes = in.readNBytes(4 * axes);
        if (sizes.length < 4 * axes) {
            throw new FormatException(file, "is cut off in its header");
        }
        List<Integer> shape = new ArrayList<>();
        for (int axis = 0; axis < axes; axis++) {
            shape.add(ByteBuffer.wrap(sizes).getInt(4 * axis));
        }
        long bytes = ByteArray.bytes(file, "data", shape, 1, stored);
        return new ByteArray(shape, ByteArray.data(file, "data", in, bytes), 1, false, ByteOrder.BIG_ENDIAN);
    }
}
