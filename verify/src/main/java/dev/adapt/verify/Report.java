package dev.adapt.verify;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.onnx.OnnxPrecision;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.UnaryOperator;

/**
 * What a verification found.
 *
 * @param inputs what went in
 * @param half whether one of them computes in float16
 * @param runners the names of what was compared
 * @param comparisons of each with each
 * @param uncompared the outputs that were compared with no other form, each with the reason
 */
public record Report(
        Summary inputs,
        Tolerance tolerance,
        boolean half,
        List<String> runners,
        List<Comparison> comparisons,
        List<String> uncompared) {
    /**
     * The inputs of a verification without their values.
     *
     * @param description in words
     * @param seed of random inputs
     * @param lengths of token sequences
     */
    public record Summary(String description, OptionalLong seed, Optional<Inputs.Lengths> lengths) {}

    public Report {
        runners = List.copyOf(runners);
        comparisons = List.copyOf(comparisons);
        uncompared = List.copyOf(uncompared);
    }

    /** Runs the runners on the batches and reports what came of it, as {@link Equivalence#compare} defines it. */
    public static Report of(List<Runner> runners, Inputs inputs, Tolerance tolerance) {
        return new Report(
                new Summary(inputs.description(), inputs.seed(), inputs.lengths()),
                tolerance,
                runners.stream().anyMatch(runner -> runner.precision() == OnnxPrecision.FP16),
                runners.stream().map(Runner::name).toList(),
                Equivalence.compare(runners, inputs.batches(), tolerance),
                Equivalence.uncompared(runners));
    }

    /** The same report with every text that may come from a file passed through {@code text}. */
    public Report map(UnaryOperator<String> text) {
        return new Report(
                new Summary(text.apply(inputs.description()), inputs.seed(), inputs.lengths()),
                tolerance,
                half,
                runners.stream().map(text).toList(),
                comparisons.stream()
                        .map(own -> new Comparison(
                                text.apply(own.left()),
                                text.apply(own.right()),
                                text.apply(own.output()),
                                own.errors(),
                                own.worst()
                                        .map(at -> new Place(
                                                at.batch(),
                                                text.apply(at.output()),
                                                at.index(),
                                                at.left(),
                                                at.right())),
                                own.failure().map(text)))
                        .toList(),
                uncompared.stream().map(text).toList());
    }

    /** Whether there was something to compare and all of it is equal within the tolerance. */
    public boolean passed() {
        return !comparisons.isEmpty() && comparisons.stream().allMatch(Comparison::passed);
    }

    /** The largest absolute error of all pairs that could be compared. */
    public double maxAbsolute() {
        return comparisons.stream()
                .flatMap(comparison -> comparison.errors().stream())
                .mapToDouble(Errors::maxAbsolute)
                .max()
                .orElse(0);
    }

    /** A table for people, at most 100 columns wide where no name has more than 40 letters. */
    public String text() {
        StringBuilder text = new StringBuilder();
        text.append(runners.size())
                .append(" forms of the model on ")
                .append(inputs.description())
                .append('\n');
        text.append(String.format(Locale.ROOT, "tolerance on the absolute error: %.1e\n", tolerance.fp32()));
        if (half) {
            text.append(String.format(
                    Locale.ROOT,
                    "where float16 computes: %.1e of the row's root mean square, or of 1 where that is less\n",
                    tolerance.fp16()));
        }
        text.append("relative errors: over the root mean square of the row of outputs\n\n");
        text.append(row("", "max abs", "mean abs", "max rel", "mean rel", "argmax", ""));
        String left = "";
        String right = "";
        for (Comparison comparison : comparisons) {
            if (!comparison.left().equals(left)) {
                left = comparison.left();
                right = "";
                text.append(left).append(" against\n");
            }
            if (outputs() > 1 && !comparison.right().equals(right)) {
                right = comparison.right();
                text.append("  ").append(right).append('\n');
            }
            text.append(row(comparison));
            comparison
                    .failure()
                    .ifPresent(reason -> text.append("    ").append(reason).append('\n'));
            if (!comparison.passed()) {
                comparison
                        .worst()
                        .ifPresent(place -> text.append("    at ").append(place).append('\n'));
            }
        }
        text.append('\n');
        uncompared.forEach(
                output -> text.append("not compared: ").append(output).append('\n'));
        return text.append(passed() ? "PASS\n" : "FAIL\n").toString();
    }

    /** How many outputs, or groups of them, were compared. */
    private long outputs() {
        return comparisons.stream().map(Comparison::output).distinct().count();
    }

    private String row(Comparison comparison) {
        String verdict = comparison.passed() ? "PASS" : "FAIL";
        String name = outputs() > 1 ? "  " + comparison.output() : comparison.right();
        Optional<Errors> errors = comparison.errors();
        if (errors.isEmpty()) {
            return row(name, "–", "–", "–", "–", "–", verdict);
        }
        return row(
                name,
                scientific(errors.get().maxAbsolute()),
                scientific(errors.get().meanAbsolute()),
                scientific(errors.get().maxRelative()),
                scientific(errors.get().meanRelative()),
                // rounded down, so that 100 % means all
                String.format(
                        Locale.ROOT, "%.1f %%", Math.floor(1000 * errors.get().argmaxAgreement()) / 10),
                verdict);
    }

    private static String row(
            String name, String maxAbs, String meanAbs, String maxRel, String meanRel, String argmax, String verdict) {
        return String.format("  %-40s%9s%9s%9s%9s%9s  %s", name, maxAbs, meanAbs, maxRel, meanRel, argmax, verdict)
                        .stripTrailing()
                + "\n";
    }

    private static String scientific(double value) {
        return value == 0 ? "0" : String.format(Locale.ROOT, "%.1e", value);
    }

    /** The same as JSON for machines; a pair that could not be compared has no numbers. */
    public String json() {
        ObjectNode root = new JsonMapper().createObjectNode();
        root.put("passed", passed());
        root.put("tolerance", tolerance.fp32());
        if (half) {
            root.put("tolerance_fp16", tolerance.fp16());
        }
        root.put("inputs", inputs.description());
        inputs.seed().ifPresent(seed -> root.put("seed", seed));
        inputs.lengths().ifPresent(lengths -> {
            root.put("longest_sequence", lengths.longest());
            root.put("model_length", lengths.model());
        });
        ArrayNode names = root.putArray("runners");
        runners.forEach(names::add);
        ArrayNode pairs = root.putArray("comparisons");
        for (Comparison comparison : comparisons) {
            ObjectNode pair = pairs.addObject();
            pair.put("left", comparison.left());
            pair.put("right", comparison.right());
            pair.put("output", comparison.output());
            pair.put("passed", comparison.passed());
            comparison.errors().ifPresent(errors -> {
                pair.put("max_absolute", errors.maxAbsolute());
                pair.put("mean_absolute", errors.meanAbsolute());
                pair.put("max_relative", errors.maxRelative());
                pair.put("mean_relative", errors.meanRelative());
                pair.put("argmax_agreement", errors.argmaxAgreement());
            });
            comparison.worst().ifPresent(worst -> {
                ObjectNode place = pair.putObject("worst");
                place.put("batch", worst.batch()).put("output", worst.output());
                ArrayNode index = place.putArray("index");
                worst.index().forEach(index::add);
                place.put("left", worst.left()).put("right", worst.right());
            });
            comparison.failure().ifPresent(failure -> pair.put("failure", failure));
        }
        ArrayNode left = root.putArray("not_compared");
        uncompared.forEach(left::add);
        return root.toPrettyString();
    }
}
