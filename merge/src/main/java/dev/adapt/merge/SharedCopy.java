package dev.adapt.merge;

import dev.adapt.formats.UsageException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * A copy of a file that shares its blocks with it until one of them is written, on file systems that can do that (Btrfs,
 * XFS, APFS and others). Java has no call for it; the system's {@code cp} has.
 */
interface SharedCopy {
    /**
     * Makes the copy.
     *
     * @throws UsageException if the file system cannot
     */
    static void make(Path source, Path target) throws IOException {
        boolean apple =
                System.getProperty("os.name", "").toLowerCase(Locale.ROOT).startsWith("mac");
        List<String> command = new ArrayList<>(apple ? List.of("cp", "-c") : List.of("cp", "--reflink=always"));
        command.add(source.toAbsolutePath().toString());
        command.add(target.toAbsolutePath().toString());
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start();
        try {
            if (process.waitFor() == 0) {
                return;
            }
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
            throw new IOException("the merge was interrupted", e);
        }
        throw new UsageException("--in-place with --out: the file system of "
                + target.toAbsolutePath().getParent() + " cannot share blocks with " + source
                + "; leave out --in-place, and all bytes are copied");
    }
}
