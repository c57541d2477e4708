package dev.adapt.merge.engine;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.util.List;

/** A command of the system, which does what Java has no call for. */
interface SystemCommand {
    /**
     * Runs it to its end; what it prints is dropped.
     *
     * @return its exit code
     * @throws IOException if the system has no such command, or the thread is interrupted
     */
    static int run(List<String> command) throws IOException {
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start();
        try {
            return process.waitFor();
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("the merge was interrupted");
        }
    }
}
