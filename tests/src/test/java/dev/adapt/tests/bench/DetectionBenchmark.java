package dev.adapt.tests.bench;

import dev.adapt.merge.LorsMerge;
import dev.adapt.tests.detect.ShapeDetector;
import dev.adapt.tests.detect.ShapeScenes;
import dev.adapt.train.detect.DetectorTrainer;
import dev.adapt.train.detect.Scene;
import dev.adapt.train.device.Devices;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** A small detector, plain and with LORS, trained alike. */
@Command(
        name = "tests/bench/detection",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        showDefaultValues = true,
        description = {
            "Trains a small query-based decoder to find discs, squares and triangles in drawn images: plain, and with LORS",
            "(adaptive on the generators of its mixing, static on their projections), from the same seed, on the same",
            "images, for as many steps. Prints parameters and AP50 on images that neither has seen, of both untrained,",
            "and of the plain decoder that the one with LORS is merged to."
        })
final class DetectionBenchmark implements Callable<Integer> {
    @Option(names = "--steps", paramLabel = "N", description = "of training, batches of 16 images")
    private int steps = 1500;

    @Option(names = "--images", paramLabel = "N", description = "to train on")
    private int images = 3000;

    @Option(names = "--held-out", paramLabel = "N", description = "images to measure on")
    private int heldOut = 500;

    @Option(names = "--hidden", paramLabel = "N", description = "width of a query")
    private int hidden = 32;

    @Option(names = "--stages", paramLabel = "N", description = "of the decoder")
    private int stages = 4;

    @Option(names = "--rank", paramLabel = "N", description = "of the private parts of LORS")
    private int rank = 4;

    @Option(names = "--lr", paramLabel = "X", description = "peak learning rate")
    private double learningRate = 1e-3;

    @Option(names = "--seed", paramLabel = "N", description = "of the decoders and the order of the images")
    private long seed = 1;

    private DetectionBenchmark() {}

    /** Runs the benchmark and ends the process with its exit code. */
    public static void main(String[] args) {
        System.exit(new CommandLine(new DetectionBenchmark()).execute(args));
    }

    @Override
    public Integer call() throws IOException {
        List<Scene> train = ShapeScenes.draw(images, hidden, 1);
        List<Scene> unseen = ShapeScenes.draw(heldOut, hidden, 2);
        System.out.printf(
                "%-14s %12s %10s %10s %14s %10s%n",
                "", "parameters", "untrained", "AP50", "last 100 losses", "seconds");
        Path work = Files.createTempDirectory("adapt-bench");
        try {
            measure("plain", new ShapeDetector(hidden, stages, 16, 0), train, unseen, work);
            measure("LORS", new ShapeDetector(hidden, stages, 16, rank), train, unseen, work);
            LorsMerge merged = LorsMerge.run(work.resolve("LORS"), work.resolve("merged"));
            double precision = ShapeDetector.ap50(work.resolve("merged"), unseen);
            System.out.printf(Locale.ROOT, "%-14s %,12d %10s %10.4f%n", "LORS, merged", merged.after(), "", precision);
        } finally {
            delete(work);
        }
        return 0;
    }

    private void measure(String name, ShapeDetector detector, List<Scene> train, List<Scene> unseen, Path work)
            throws IOException {
        Path untrained = work.resolve(name + "-untrained");
        DetectorTrainer.train(detector.config(), train, settings(0), untrained, (step, loss) -> {});
        double chance = ShapeDetector.ap50(untrained, unseen);
        double[] losses = new double[steps];
        long start = System.nanoTime();
        DetectorTrainer.train(detector.config(), train, settings(steps), work.resolve(name), (step, loss) -> {
            losses[step - 1] = loss;
            if (step % 500 == 0) {
                System.err.printf(Locale.ROOT, "%s: step %d of %d, loss %.3f%n", name, step, steps, loss);
            }
        });
        double seconds = (System.nanoTime() - start) / 1e9;
        int last = Math.min(100, steps);
        double loss = Arrays.stream(losses, steps - last, steps).average().orElse(Double.NaN);
        System.out.printf(
                Locale.ROOT,
                "%-14s %,12d %10.4f %10.4f %14.3f %10.1f%n",
                name,
                detector.parameters(),
                chance,
                ShapeDetector.ap50(work.resolve(name), unseen),
                loss,
                seconds);
    }

    private DetectorTrainer.Settings settings(int count) {
        return new DetectorTrainer.Settings(count, 16, learningRate, 1e-4, 0.05, 1, seed, Devices.CPU);
    }

    private static void delete(Path work) throws IOException {
        try (Stream<Path> inside = Files.walk(work)) {
            for (Path file : inside.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }
}
