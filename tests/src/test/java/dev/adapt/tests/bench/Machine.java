package dev.adapt.tests.bench;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * What one core of this machine can do at best, measured in the same run as what is compared with it.
 *
 * @param readBytes bytes per second out of the page cache
 * @param writeBytes bytes per second of a new file into the page cache
 * @param fma float32 fused multiply-adds per second
 */
public record Machine(double readBytes, double writeBytes, double fma) {
    private static final int BUFFER = 1 << 18;
    private static final int REPETITIONS = 3;

    static Machine measure(Path file, Path scratch) throws IOException {
        double read = 0;
        double write = 0;
        double fma = 0;
        for (int i = 0; i < REPETITIONS; i++) {
            read = Math.max(read, reading(file));
            write = Math.max(write, writing(scratch, Math.min(Files.size(file), 1 << 30)));
            fma = Math.max(fma, multiplying());
        }
        return new Machine(read, write, fma);
    }

    private static double reading(Path file) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocateDirect(BUFFER);
        long bytes = 0;
        long start = System.nanoTime();
        try (FileChannel channel = FileChannel.open(file)) {
            for (int count; (count = channel.read(buffer.clear())) > 0; ) {
                bytes += count;
            }
        }
        return bytes / ((System.nanoTime() - start) / 1e9);
    }

    private static double writing(Path scratch, long bytes) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocateDirect(BUFFER);
        try {
            long start = System.nanoTime();
            try (FileChannel channel =
                    FileChannel.open(scratch, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                for (long done = 0; done < bytes; done += BUFFER) {
                    channel.write(buffer.clear());
                }
            }
            return bytes / ((System.nanoTime() - start) / 1e9);
        } finally {
            Files.deleteIfExists(scratch);
        }
    }

    /** Fused multiply-adds of float32 per second that one core reaches where nothing else holds it up. */
    public static double multiplying() {
        int rounds = 1 << 22;
        double best = 0;
        for (int i = 0; i < 8; i++) {
            long start = System.nanoTime();
            float sum = chains(rounds, i);
            double seconds = (System.nanoTime() - start) / 1e9;
            if (sum == 1) {
                throw new IllegalStateException("the sum is used, so that it is computed");
            }
            best = Math.max(best, 12.0 * FloatVector.SPECIES_PREFERRED.length() * rounds / seconds);
        }
        return best;
    }

    /** Twelve chains: more than the latency (4 or 5 cycles) times the units (2), and few enough for 16 registers. */
    private static float chains(int rounds, float start) {
        VectorSpecies<Float> species = FloatVector.SPECIES_PREFERRED;
        FloatVector x = FloatVector.broadcast(species, 0.999f);
        FloatVector y = FloatVector.broadcast(species, start);
        FloatVector a = y;
        FloatVector b = y;
        FloatVector c = y;
        FloatVector d = y;
        FloatVector e = y;
        FloatVector f = y;
        FloatVector g = y;
        FloatVector h = y;
        FloatVector i = y;
        FloatVector j = y;
        FloatVector k = y;
        FloatVector l = y;
        for (int round = 0; round < rounds; round++) {
            a = a.fma(x, y);
            b = b.fma(x, y);
            c = c.fma(x, y);
            d = d.fma(x, y);
            e = e.fma(x, y);
            f = f.fma(x, y);
            g = g.fma(x, y);
            h = h.fma(x, y);
            i = i.fma(x, y);
            j = j.fma(x, y);
            k = k.fma(x, y);
            l = l.fma(x, y);
        }
        return a.add(b)
                .add(c)
                .add(d)
                .add(e)
                .add(f)
                .add(g)
                .add(h)
                .add(i)
                .add(j)
                .add(k)
                .add(l)
                .lane(0);
    }
}
