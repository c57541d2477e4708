package dev.adapt.merge.engine;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * Room on the disk for all of a file before its bytes come. Without, ext4 keeps an account of each page that has no block yet,
 * which takes a third of the time of writing it. Linux systems have the command {@code fallocate}.
 */
public interface Reservation extends AutoCloseable {
    /** Less than this is written before a process has begun. */
    long SMALLEST = 1L << 28;

    /**
     * Reserves the room for a file that is there, while others begin to write to it. Where the system has no such command, or the
     * disk no such room, the file is as good without it: whoever writes meets the full disk, and reports it.
     */
    static Reservation begin(Path file, long bytes) {
        if (bytes < SMALLEST) {
            return () -> {};
        }
        Thread thread = Thread.ofPlatform().daemon().name("reserve").start(() -> {
            try {
                if (Files.getFileStore(file).type().equals("ext4")) {
                    String path = file.toAbsolutePath().toString();
                    SystemCommand.run(List.of("fallocate", "--length", Long.toString(bytes), path));
                }
            } catch (IOException e) {
                // no such command
            }
        });
        return () -> WriteBehind.join(thread);
    }

    /** Waits until nothing is reserved any more: the command would make a file anew that was deleted meanwhile. */
    @Override
    void close();
}
