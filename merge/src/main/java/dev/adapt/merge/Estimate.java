package dev.adapt.merge;

import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.merge.plan.MergePlan;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.util.List;

/**
 * How long a merge may take, before it is begun: reading at a rate that is measured on some of the base, writing taken to
 * be as fast, and arithmetic at a rate that is assumed.
 *
 * @param seconds of the whole
 * @param readBytes bytes per second, measured
 */
public record Estimate(double seconds, double readBytes) {
    /** Fused multiply-adds a second of one core, as most of today's reach. */
    public static final double MULTIPLY_ADDS = 15e9;

    private static final int SAMPLE = 1 << 26;
    private static final int BUFFER = 1 << 20;

    /** Reads up to 64 MiB from the middle of the first file, and writes nothing. */
    public static Estimate of(SafetensorsFile file, List<MergePlan> plans, int threads) throws IOException {
        double rate = readRate(file);
        long bytes = plans.stream().mapToLong(MergePlan::bytes).sum();
        double products = plans.stream()
                .flatMap(plan -> plan.outputs().stream())
                .flatMap(output -> output.tasks().stream())
                .mapToDouble(task -> task instanceof MergePlan.Task.Adapt adapt
                        ? (double) adapt.rank() * adapt.place().shape().elements()
                        : 0)
                .sum();
        return new Estimate(2 * bytes / rate + products / MULTIPLY_ADDS / threads, rate);
    }

    private static double readRate(SafetensorsFile file) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocateDirect(BUFFER);
        long size = file.header().fileBytes();
        long from = Math.max(0, size / 2 - SAMPLE / 2);
        long done = 0;
        long start = System.nanoTime();
        try (FileChannel channel = InputFile.named(file.path()).open()) {
            while (done < SAMPLE) {
                int count = channel.read(buffer.clear(), from + done);
                if (count <= 0) {
                    break;
                }
                done += count;
            }
        }
        return Math.max(1, done) / Math.max(1e-6, (System.nanoTime() - start) / 1e9);
    }
}
