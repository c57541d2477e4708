package dev.adapt.formats.method.dense;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("Every wavelet")
class WaveletTest {
    @Test
    @DisplayName("has filters whose even shifts are orthonormal")
    void orthonormal() {
        for (String name : Wavelet.names()) {
            Wavelet wavelet = Wavelet.named(name).orElseThrow();
            double[] low = wavelet.low();
            for (int shift = 0; shift < low.length; shift += 2) {
                assertEquals(shift == 0 ? 1 : 0, product(low, low, shift), 1e-11, name);
                assertEquals(shift == 0 ? 1 : 0, product(wavelet.high(), wavelet.high(), shift), 1e-11, name);
                assertEquals(0, product(low, wavelet.high(), shift), 1e-11, name);
            }
        }
    }

    private static double product(double[] left, double[] right, int shift) {
        double sum = 0;
        for (int i = 0; i + shift < left.length; i++) {
            sum += left[i] * right[i + shift];
        }
        return sum;
    }
}
