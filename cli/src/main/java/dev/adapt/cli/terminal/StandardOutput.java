package dev.adapt.cli.terminal;

import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** The process's standard output. It remembers why it could not be written: a {@link PrintStream} only knows that. */
public final class StandardOutput extends OutputStream {
    /** What a shell reports of a process that SIGPIPE ended. */
    public static final int PIPE_CLOSED = 141;

    private static final int BUFFER = 1 << 13;

    private final OutputStream out = new FileOutputStream(FileDescriptor.out);
    private @Nullable IOException fault;

    private StandardOutput() {}

    /** Makes this the process's {@code System.out}. */
    public static StandardOutput install() {
        StandardOutput output = new StandardOutput();
        System.setOut(new PrintStream(new BufferedOutputStream(output, BUFFER), true, System.out.charset()));
        return output;
    }

    @Override
    public void write(int b) throws IOException {
        write(new byte[] {(byte) b}, 0, 1);
    }

    @Override
    public void write(byte[] bytes, int from, int count) throws IOException {
        try {
            out.write(bytes, from, count);
        } catch (IOException e) {
            fault = fault == null ? e : fault;
            throw e;
        }
    }

    /** What became of all that was printed: nothing if it was written. */
    public Optional<Failure> failure() {
        if (!System.out.checkError()) {
            return Optional.empty();
        }
        String reason = fault == null ? "cannot be written" : String.valueOf(fault.getMessage());
        return Optional.of(
                reason.contains("Broken pipe")
                        ? new Failure("standard output was closed", PIPE_CLOSED, false)
                        : new Failure(
                                "standard output: " + reason + "; what was printed is not complete",
                                Failure.BAD_INPUT,
                                false));
    }
}
