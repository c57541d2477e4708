package dev.adapt.train.metric;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.SequencedMap;
import java.util.function.Function;
import java.util.stream.Collectors;

/**
 * How good a model is on a data set.
 *
 * @param loss the mean of what training minimises, per example, or per token for a language model
 * @param values by metric, the task's own metric first
 */
public record Scores(double loss, SequencedMap<Metric, Double> values) {
    public Scores {
        values = Collections.unmodifiableSequencedMap(new LinkedHashMap<>(values));
    }

    /**
     * The value of a metric.
     *
     * @throws IllegalArgumentException if the task does not give it
     */
    public double of(Metric metric) {
        Double value = values.get(metric);
        if (value == null) {
            throw new IllegalArgumentException("no " + metric.key() + " among " + values.keySet());
        }
        return value;
    }

    /** All values on one line, for people. */
    public String text() {
        return text(metric -> "");
    }

    /** The same, with what one of them was before training. */
    public String text(Metric metric, double before) {
        return text(own -> own == metric ? String.format(Locale.ROOT, " (before %.4f)", before) : "");
    }

    private String text(Function<Metric, String> remark) {
        return values.entrySet().stream()
                        .map(entry -> String.format(
                                Locale.ROOT,
                                "%s %.4f%s",
                                entry.getKey().label(),
                                entry.getValue(),
                                remark.apply(entry.getKey())))
                        .collect(Collectors.joining("  "))
                + String.format(Locale.ROOT, "  loss %.4f", loss);
    }
}
