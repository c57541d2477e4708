package dev.adapt.formats.method.random;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("A permutation")
class PermutationTest {
    @Test
    @DisplayName("is torch's: torch.manual_seed(0); torch.randperm(10)")
    void isTorchs() {
        assertArrayEquals(new long[] {4, 1, 7, 5, 3, 9, 0, 8, 6, 2}, Permutation.first(10, 10, 0));
    }

    @Test
    @DisplayName("has each element once, and begins the same however much of it is asked for")
    void isOne() {
        long[] all = Permutation.first(1000, 1000, 777);
        assertArrayEquals(Arrays.copyOf(all, 50), Permutation.first(50, 1000, 777));
        assertEquals(1000, Arrays.stream(all).distinct().count());
        assertEquals(999L * 1000 / 2, Arrays.stream(all).sum());
    }
}
