package dev.adapt.formats.method.random;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("NumPy's generator")
class NumpyRandomTest {
    /** The hashes are of what NumPy 2.4.6 gave. */
    @ParameterizedTest(name = "seed {0}: {2} of {1}")
    @CsvSource({
        "42, 64, 10, 163594667656022",
        "5, 11, 7, 122205726",
        "7, 20000, 1000, -2219584990273009203",
        "123456789012, 256, 255, 1176961802105796929"
    })
    void drawsAndShufflesAsNumpyDoes(long seed, int population, int size, long expected) {
        NumpyRandom random = new NumpyRandom(seed);
        int[] drawn = random.choice(population, size);
        random.shuffle(drawn);
        long hash = 0;
        for (int value : drawn) {
            hash = 31 * hash + value;
        }
        assertEquals(expected, hash);
    }
}
