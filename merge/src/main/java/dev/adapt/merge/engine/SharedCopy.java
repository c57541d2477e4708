package dev.adapt.merge.engine;

import dev.adapt.formats.UsageException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * A copy of a file that shares its blocks with it until one of them is written, on file systems that can do that (Btrfs,
 * XFS, APFS and others). The system's {@code cp} can make it.
 */
public interface SharedCopy {
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
        if (SystemCommand.run(command) == 0) {
            return;
        }
        throw new UsageException(
                "in-place",
                "the file system of "
                        + target.toAbsolutePath().getParent() + " cannot share blocks with " + source
                        + "; merge without it, and all bytes are copied");
    }
}
