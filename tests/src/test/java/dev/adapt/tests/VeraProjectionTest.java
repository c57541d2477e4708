package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.method.random.Rounding;
import dev.adapt.formats.method.seeded.Projection;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("VeRA's projections are PEFT's, bit for bit")
class VeraProjectionTest {
    private static final String FILE = "vera_projections.safetensors";
    private static final Pattern NAME = Pattern.compile("key(\\d+)\\.r(\\d+)\\.A");

    @TempDir
    private Path folder;

    @Test
    void everyBit() throws IOException {
        Path home = StoredCases.at("fixtures/vera_projections", folder);
        Path file = Files.isDirectory(home) ? home.resolve(FILE) : home.resolveSibling(FILE);
        int compared = 0;
        try (SafetensorsFile expected = SafetensorsFile.open(file)) {
            for (TensorView a : expected.tensors()) {
                Matcher name = NAME.matcher(a.name());
                if (name.matches()) {
                    TensorView b = expected.tensor(a.name().replaceFirst("A$", "B"));
                    Projection drawn = Projection.draw(
                            Long.parseLong(name.group(1)),
                            Integer.parseInt(name.group(2)),
                            (int) a.shape().dim(1),
                            (int) b.shape().dim(0),
                            Rounding.FMA);
                    assertBits(a, drawn.a().toFloats());
                    assertBits(b, drawn.b().toFloats());
                    compared++;
                }
            }
        }
        assertTrue(compared >= 9, "only " + compared + " projections were compared");
    }

    private static void assertBits(TensorView expected, float[] found) {
        assertArrayEquals(bits(expected.toFloats()), bits(found), expected.name());
    }

    private static int[] bits(float[] values) {
        int[] bits = new int[values.length];
        for (int i = 0; i < bits.length; i++) {
            bits[i] = Float.floatToRawIntBits(values[i]);
        }
        return bits;
    }
}
