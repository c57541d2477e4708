package dev.adapt.train.image;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.InputFile;
import dev.adapt.train.data.Shown;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Enumeration;
import java.util.List;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;

/** NumPy's arrays in a zip file: headers first, data only of the array that is asked for. */
final class NpzFile implements AutoCloseable {
    private static final int MOST_ARRAYS = 1000;
    private static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y'};

    /** An array of the file, of which only the header was read. */
    record Entry(String name, NpyHeader header, ZipEntry stored) {}

    private final Path file;
    private final long size;
    private final ZipFile zip;
    private final List<Entry> entries = new ArrayList<>();

    private NpzFile(InputFile source, ZipFile zip) {
        this.file = source.path();
        this.size = source.snapshot().size();
        this.zip = zip;
    }

    /**
     * Reads the headers of all arrays.
     *
     * @throws FormatException if it is no zip file, or an array holds no integers in row-major order
     */
    static NpzFile open(Path file) throws IOException {
        InputFile source = InputFile.named(file);
        NpzFile npz;
        try {
            npz = new NpzFile(source, new ZipFile(file.toFile()));
        } catch (ZipException | EOFException e) {
            throw new FormatException(file, "is not an npz file: " + Shown.of(String.valueOf(e.getMessage())), e);
        }
        try {
            npz.readHeaders();
            return npz;
        } catch (ZipException | EOFException e) {
            npz.close();
            throw new FormatException(file, "cannot be decompressed: " + Shown.of(String.valueOf(e.getMessage())), e);
        } catch (IOException | RuntimeException e) {
            npz.close();
            throw e;
        }
    }

    private void readHeaders() throws IOException {
        if (zip.size() == 0 || zip.size() > MOST_ARRAYS) {
            throw new FormatException(file, "expected 1 to " + MOST_ARRAYS + " arrays, found " + zip.size());
        }
        Enumeration<? extends ZipEntry> stored = zip.entries();
        while (stored.hasMoreElements()) {
            ZipEntry entry = stored.nextElement();
            String file = entry.getName();
            String name = file.endsWith(".npy") ? file.substring(0, file.length() - ".npy".length()) : file;
            try (InputStream in = zip.getInputStream(entry)) {
                entries.add(new Entry(name, header(Shown.of(name), in), entry));
            }
        }
    }

    /** The arrays, in the order of the file. */
    List<Entry> entries() {
        return List.copyOf(entries);
    }

    private NpyHeader header(String array, InputStream in) throws IOException {
        byte[] start = in.readNBytes(MAGIC.length + 2);
        int version = start.length == MAGIC.length + 2 ? start[MAGIC.length] : 0;
        if (version < 1 || version > 3 || !startsWithMagic(start)) {
            throw new FormatException(file, array, "is not an npy array of version 1, 2 or 3");
        }
        int bytes = version == 1 ? Short.BYTES : Integer.BYTES;
        byte[] prefix = in.readNBytes(bytes);
        if (prefix.length < bytes) {
            throw new FormatException(file, array, "is cut off in its header");
        }
        ByteBuffer length = ByteBuffer.wrap(prefix).order(ByteOrder.LITTLE_ENDIAN);
        long declared = version == 1 ? length.getShort() & 0xffffL : length.getInt() & 0xffff_ffffL;
        if (declared > NpyHeader.MAX_BYTES) {
            throw new FormatException(
                    file, array, "has a header of " + declared + " bytes, expected at most " + NpyHeader.MAX_BYTES);
        }
        byte[] text = in.readNBytes((int) declared);
        if (text.length < declared) {
            throw new FormatException(file, array, "is cut off in its header");
        }
        return NpyHeader.parse(file, array, text);
    }

    private static boolean startsWithMagic(byte[] start) {
        return ByteBuffer.wrap(start, 0, MAGIC.length).equals(ByteBuffer.wrap(MAGIC));
    }

    /**
     * Reads an array's data.
     *
     * @throws FormatException if they are not as many as the header declares
     */
    ByteArray read(Entry entry) throws IOException {
        String array = Shown.of(entry.name());
        NpyHeader header = entry.header();
        long stored = Math.min(entry.stored().getCompressedSize(), size);
        long bytes = ByteArray.bytes(file, array, header.shape(), header.width(), stored);
        try (InputStream in = zip.getInputStream(entry.stored())) {
            header(array, in);
            byte[] data = ByteArray.data(file, array, in, bytes);
            return new ByteArray(header.shape(), data, header.width(), header.signed(), header.order());
        }
    }

    @Override
    public void close() throws IOException {
        zip.close();
    }
}
