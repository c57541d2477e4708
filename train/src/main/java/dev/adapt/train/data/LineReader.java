package dev.adapt.train.data;

import dev.adapt.formats.io.InputFile;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.Optional;

/**
 * Reads a file of UTF-8 line by line, none longer than {@link Lines#MOST_BYTES}. A line ends in a line feed, with a carriage
 * return before it or without.
 */
final class LineReader implements AutoCloseable {
    private final Path file;
    private final InputStream in;
    private final byte[] chunk = new byte[1 << 16];
    private final ByteArrayOutputStream line = new ByteArrayOutputStream();
    private int start;
    private int end;
    private int number;

    LineReader(Path file) throws IOException {
        this.file = file;
        this.in = InputFile.named(file).stream();
    }

    /** The number of the line that was read last, from 1. */
    int number() {
        return number;
    }

    /**
     * The next line; empty at the end of the file.
     *
     * @throws dev.adapt.formats.FormatException naming a line that is too long, or not UTF-8, or holds NUL
     */
    Optional<String> next() throws IOException {
        while (fill()) {
            int at = start;
            while (at < end && chunk[at] != '\n') {
                at++;
            }
            if (line.size() + at - start > Lines.MOST_BYTES) {
                throw Lines.fault(file, number + 1, "is longer than " + (Lines.MOST_BYTES >> 20) + " MiB; break it up");
            }
            line.write(chunk, start, at - start);
            start = at + 1;
            if (at < end) {
                return Optional.of(decoded());
            }
        }
        return line.size() > 0 ? Optional.of(decoded()) : Optional.empty();
    }

    private boolean fill() throws IOException {
        if (start >= end) {
            start = 0;
            end = in.read(chunk);
        }
        return end > 0;
    }

    private String decoded() {
        byte[] bytes = line.toByteArray();
        line.reset();
        number++;
        int length = bytes.length > 0 && bytes[bytes.length - 1] == '\r' ? bytes.length - 1 : bytes.length;
        String text = Lines.text(file, "line " + number, bytes, length);
        // some editors begin a file so, to say that it is UTF-8
        return number == 1 && text.startsWith(Lines.MARK) ? text.substring(1) : text;
    }

    @Override
    public void close() throws IOException {
        in.close();
    }
}
