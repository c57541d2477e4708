package dev.adapt.merge.convert;

import dev.adapt.formats.io.Sha256;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/**
 * A random choice of elements that a seed repeats anywhere: element i of a tensor is kept where SplitMix64's output i
 * (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014), its upper 53 bits taken as a
 * fraction, is under the density. The stream begins at the first eight bytes, big-endian, of the SHA-256 of
 * {@code SEED/ADAPTER/MODULE/PART}: the seed in decimal, the adapter's place in the list from 0, the module's name, and
 * {@code A}, {@code B} or {@code W} (for ΔW). So no tensor's choice depends on which others there are.
 */
record Mask(long start, double density) {
    private static final long GAMMA = 0x9e3779b97f4a7c15L;

    static Mask of(long seed, int adapter, String module, String part, double density) {
        byte[] name = (seed + "/" + adapter + "/" + module + "/" + part).getBytes(StandardCharsets.UTF_8);
        return new Mask(ByteBuffer.wrap(Sha256.begin().digest(name)).getLong(), density);
    }

    boolean keeps(int element) {
        long z = start + (element + 1) * GAMMA;
        z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        z ^= z >>> 31;
        return (z >>> 11) * 0x1p-53 < density;
    }
}
