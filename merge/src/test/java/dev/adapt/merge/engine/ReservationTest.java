package dev.adapt.merge.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("A reservation")
class ReservationTest {
    @TempDir
    private Path folder;

    @Test
    @DisplayName("keeps what is in the file, and gives it the room of all that will be")
    void reserves() throws IOException {
        assumeTrue(Files.getFileStore(folder).type().equals("ext4"), "reserves on ext4 alone");
        Path file = Files.writeString(folder.resolve("file"), "begun");
        Reservation.begin(file, Reservation.SMALLEST).close();
        assertEquals(Reservation.SMALLEST, Files.size(file));
        try (InputStream in = Files.newInputStream(file)) {
            assertEquals("begun", new String(in.readNBytes(5), StandardCharsets.US_ASCII));
        }
    }

    @Test
    @DisplayName("that is closed makes no file any more")
    void endsWhenClosed() throws IOException, InterruptedException {
        Path file = Files.writeString(folder.resolve("file"), "begun");
        Reservation.begin(file, Reservation.SMALLEST).close();
        Files.delete(file);
        Thread.sleep(200);
        assertFalse(Files.exists(file));
    }

    @Test
    @DisplayName("of a small file is none: it would be written before")
    void small() throws IOException {
        Path file = Files.writeString(folder.resolve("file"), "begun");
        Reservation.begin(file, Reservation.SMALLEST - 1).close();
        assertEquals(5, Files.size(file));
    }
}
