package dev.adapt.verify;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.onnx.OnnxPrecision;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * What a verification found.
 *
 * @param inputs what went in, in words
 * @param half whether one of them computes in float16
 * @param runners the names of what was compared
 * @param comparisons of each with each
 */
public record Report(
        String inputs, Tolerance tolerance, boolean half, List<String> runners, List<Comparison> comparisons) {
    public Report {
        runners = List.copyOf(runners);
        comparisons = List.copyOf(comparisons);
    }

    /** Runs the runners on the batches and reports what came of it, as {@link Equivalence#compare} defines it. */
    public static Report of(List<Runner> runners, Inputs inputs, Tolerance tolerance) {
        return new Report(
                inputs.description(),
                tolerance,
                runners.stream().anyMatch(runner -> runner.precision() == OnnxPrecision.FP16),
                runners.stream().map(Runner::name).toList(),
                Equivalence.compare(runners, inputs.batches(), tolerance));
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
                .append(inputs)
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
        for (Comparison comparison : comparisons) {
            if (!comparison.left().equals(left)) {
                left = comparison.left();
                text.append(left).append(" against\n");
            }
            text.append(row(comparison));
            comparison
                    .failure()
                    .ifPresent(reason -> text.append("    ").append(reason).append('\n'));
        }
        return text.append(passed() ? "\nPASS\n" : "\nFAIL\n").toString();
    }

    private static String row(Comparison comparison) {
        String verdict = comparison.passed() ? "PASS" : "FAIL";
        Optional<Errors> errors = comparison.errors();
        if (errors.isEmpty()) {
            return row(comparison.right(), "–", "–", "–", "–", "–", verdict);
        }
        return row(
                comparison.right(),
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
        root.put("inputs", inputs);
        ArrayNode names = root.putArray("runners");
        runners.forEach(names::add);
        ArrayNode pairs = root.putArray("comparisons");
        for (Comparison comparison : comparisons) {
            ObjectNode pair = pairs.addObject();
            pair.put("left", comparison.left());
            pair.put("right", comparison.right());
            pair.put("passed", comparison.passed());
            comparison.errors().ifPresent(errors -> {
                pair.put("max_absolute", errors.maxAbsolute());
                pair.put("mean_absolute", errors.meanAbsolute());
                pair.put("max_relative", errors.maxRelative());
                pair.put("mean_relative", errors.meanRelative());
                pair.put("argmax_agreement", errors.argmaxAgreement());
            });
            comparison.failure().ifPresent(failure -> pair.put("failure", failure));
        }
        return root.toPrettyString();
    }
}
