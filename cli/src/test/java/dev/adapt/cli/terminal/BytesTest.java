package dev.adapt.cli.terminal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.adapt.formats.UsageException;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("A size that people write")
class BytesTest {
    @ParameterizedTest
    @CsvSource({
        "5GB, 5000000000",
        "500MB, 500000000",
        "10kb, 10000",
        "2TB, 2000000000000",
        "1.5 GB, 1500000000",
        "2GiB, 2147483648",
        "64KiB, 65536",
        "1.5MiB, 1572864",
        "1TiB, 1099511627776",
        "200M, 200000000",
        "123, 123",
        "7B, 7"
    })
    @DisplayName("is read in powers of 1000, or with an i of 1024")
    void isRead(String text, long bytes) {
        assertEquals(bytes, Bytes.parse("--size", text).count());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"", "GB", "5XB", "-5GB", "0", "0.0001KB", "5 GB big", "1e3MB", "five", "99999999999TB", "5iB"})
    @DisplayName("and is none is refused")
    void isRefused(String text) {
        UsageException refused = assertThrows(UsageException.class, () -> Bytes.parse("--size", text));
        assertEquals(
                "--size: expected a size such as 5GB, 500MB or 2GiB, found " + (text.isEmpty() ? "nothing" : text),
                refused.getMessage());
    }
}
