package dev.adapt.tests.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.DoubleStream;
import org.apache.commons.math3.distribution.TDistribution;

/**
 * Training runs of methods, kept in a file of a line each: runs that are there already need not be made again.
 *
 * @param file where they are kept
 * @param runs in the order in which they were made
 */
record MethodRuns(Path file, List<Run> runs) {
    private static final double CONFIDENCE = 0.95;
    private static final ObjectMapper JSON = new JsonMapper();

    /**
     * One run.
     *
     * @param data the data set
     * @param method its name, and settings after a colon each
     * @param rows of training data, or 0 for all
     * @param metric what the score is
     * @param before the score before the first step
     * @param score of the best epoch
     * @param parameters trained, without the head
     * @param bytes stored, without the head
     * @param refused why it could not be trained, or nothing
     */
    record Run(
            String data,
            String method,
            long seed,
            int rows,
            int epochs,
            String metric,
            double before,
            double score,
            long parameters,
            long bytes,
            double examplesPerSecond,
            String refused) {
        boolean isLike(Run other) {
            return data.equals(other.data)
                    && method.equals(other.method)
                    && seed == other.seed
                    && rows == other.rows
                    && epochs == other.epochs;
        }
    }

    /** The runs of one method on one data set. */
    record Result(List<Run> runs) {
        Run first() {
            return runs.getFirst();
        }

        double[] scores() {
            return runs.stream().mapToDouble(Run::score).toArray();
        }

        double mean() {
            return DoubleStream.of(scores()).average().orElseThrow();
        }

        double least() {
            return DoubleStream.of(scores()).min().orElseThrow();
        }

        double most() {
            return DoubleStream.of(scores()).max().orElseThrow();
        }

        double examplesPerSecond() {
            return runs.stream().mapToDouble(Run::examplesPerSecond).average().orElseThrow();
        }

        /** Whether another is no larger and no worse, and better in one of the two. */
        boolean isBeatenBy(Result other) {
            return other.first().bytes() <= first().bytes()
                    && other.mean() >= mean()
                    && (other.first().bytes() < first().bytes() || other.mean() > mean());
        }
    }

    /**
     * The mean difference of scores of equal seeds, with Student's interval for the mean of paired differences.
     *
     * @param half of the interval's width
     */
    record Difference(String data, String first, String second, int pairs, double mean, double half) {
        String text() {
            return String.format(
                    Locale.ROOT,
                    "%s: %s − %s = %+.4f, %.0f %% interval %+.4f to %+.4f (Student's t, %d pairs of equal seeds)",
                    data,
                    first,
                    second,
                    mean,
                    100 * CONFIDENCE,
                    mean - half,
                    mean + half,
                    pairs);
        }
    }

    /** The runs that a file holds; none if it does not exist. */
    static MethodRuns in(Path file) throws IOException {
        List<Run> runs = new ArrayList<>();
        if (Files.exists(file)) {
            for (String line : Files.readAllLines(file)) {
                runs.add(JSON.readValue(line, Run.class));
            }
        }
        return new MethodRuns(file, runs);
    }

    boolean has(Run run) {
        return runs.stream().anyMatch(run::isLike);
    }

    void add(Run run) throws IOException {
        runs.add(run);
        Files.writeString(
                file, JSON.writeValueAsString(run) + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }

    List<String> dataSets() {
        return runs.stream().map(Run::data).distinct().toList();
    }

    /** What was trained on a data set, in the order of bytes. */
    List<Result> results(String data) {
        Collection<List<Run>> byMethod = runs.stream()
                .filter(run -> run.data().equals(data) && run.refused().isEmpty())
                .collect(Collectors.groupingBy(Run::method, LinkedHashMap::new, Collectors.toList()))
                .values();
        return byMethod.stream()
                .map(Result::new)
                .sorted((one, other) ->
                        Long.compare(one.first().bytes(), other.first().bytes()))
                .toList();
    }

    /** What could not be trained, and why. */
    Map<String, String> refusals() {
        Map<String, String> refusals = new LinkedHashMap<>();
        runs.stream()
                .filter(run -> !run.refused().isEmpty())
                .forEach(run -> refusals.putIfAbsent(run.method(), run.refused()));
        return refusals;
    }

    /** How two methods differ on a data set, if at least two seeds trained both. */
    Optional<Difference> difference(String data, String first, String second) {
        double[] differences = runs.stream()
                .filter(run -> run.data().equals(data) && run.method().equals(first))
                .flatMapToDouble(run -> runs.stream()
                        .filter(other -> other.data().equals(data)
                                && other.method().equals(second)
                                && other.seed() == run.seed())
                        .mapToDouble(other -> run.score() - other.score()))
                .toArray();
        int count = differences.length;
        if (count < 2) {
            return Optional.empty();
        }
        double mean = DoubleStream.of(differences).average().orElseThrow();
        double squares = DoubleStream.of(differences)
                .map(value -> (value - mean) * (value - mean))
                .sum();
        double quantile = new TDistribution(count - 1).inverseCumulativeProbability((1 + CONFIDENCE) / 2);
        double half = quantile * Math.sqrt(squares / (count - 1) / count);
        return Optional.of(new Difference(data, first, second, count, mean, half));
    }
}
