package dev.adapt.formats;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/** The pointers that Git leaves in the place of large files where Git LFS is not installed. */
public final class GitLfs {
    private static final byte[] START = "version https://git-lfs".getBytes(StandardCharsets.US_ASCII);

    private GitLfs() {}

    /**
     * Makes sure that a file is not such a pointer.
     *
     * @param start the first bytes of the file, or all
     * @throws FormatException if it is one
     */
    public static void refusePointer(Path file, byte[] start) {
        for (int i = 0; i < START.length; i++) {
            if (i >= start.length || start[i] != START[i]) {
                return;
            }
        }
        throw new FormatException(
                file,
                "is a pointer of Git LFS, not the file itself; run `git lfs install` and `git lfs pull` where it was cloned,"
                        + " or download the file");
    }
}
