package dev.adapt.verify.compare;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.verify.Finding;
import dev.adapt.verify.input.Inputs;
import dev.adapt.verify.runner.Precision;
import dev.adapt.verify.runner.Runner;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.UnaryOperator;
import java.util.stream.Collectors;

/**
 * What a verification found.
 *
 * @param inputs what went in
 * @param runners the names of what was compared
 * @param comparisons of each with each
 * @param uncompared the outputs that were compared with no other form, each with the reason
 * @param findings what is wrong, where something was found
 */
public record Report(
        Summary inputs,
        Tolerance tolerance,
        List<String> runners,
        List<Comparison> comparisons,
        List<String> uncompared,
        List<Finding> findings) {
    /** How many of the tensors that differ are shown of a finding. */
    private static final int SHOWN = 3;

    /**
     * The inputs of a verification without their values.
     *
     * @param sequences how many sequences or images in all
     * @param description in words
     * @param seed of random inputs
     * @param lengths of token sequences
     */
    public record Summary(int sequences, String description, OptionalLong seed, Optional<Inputs.Lengths> lengths) {
        /** That of inputs. */
        static Summary of(Inputs inputs) {
            int sequences = inputs.batches().stream()
                    .flatMap(batch -> batch.values().stream().limit(1))
                    .mapToInt(first ->
                            first.shape().rank() == 0 ? 1 : (int) first.shape().dim(0))
                    .sum();
            return new Summary(sequences, inputs.description(), inputs.seed(), inputs.lengths());
        }
    }

    public Report {
        runners = List.copyOf(runners);
        comparisons = List.copyOf(comparisons);
        uncompared = List.copyOf(uncompared);
        findings = List.copyOf(findings);
    }

    /**
     * Runs the runners on the batches and reports what came of it, as {@link Equivalence#compare} defines it.
     *
     * @param products linear layers between an input and the outputs, one after the other
     */
    public static Report of(List<Runner> runners, Inputs inputs, int products, Tolerance tolerance) {
        return new Report(
                Summary.of(inputs),
                tolerance,
                runners.stream().map(Runner::name).toList(),
                Equivalence.compare(runners, inputs.batches(), products, tolerance),
                Equivalence.uncompared(runners),
                List.of());
    }

    /** The same with what was found. */
    public Report with(List<Finding> found) {
        return new Report(inputs, tolerance, runners, comparisons, uncompared, found);
    }

    /** The same report with every text that may come from a file passed through {@code text}. */
    public Report map(UnaryOperator<String> text) {
        return new Report(
                new Summary(inputs.sequences(), text.apply(inputs.description()), inputs.seed(), inputs.lengths()),
                tolerance,
                runners.stream().map(text).toList(),
                comparisons.stream()
                        .map(own -> new Comparison(
                                text.apply(own.left()),
                                text.apply(own.right()),
                                text.apply(own.output()),
                                own.limit(),
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
                uncompared.stream().map(text).toList(),
                findings.stream().map(own -> own.map(text)).toList());
    }

    /** Whether there was something to compare and all of it is equal within the tolerance. */
    public boolean passed() {
        return !comparisons.isEmpty()
                && comparisons.stream().allMatch(Comparison::passed)
                && findings.stream().noneMatch(Finding::decides);
    }

    /** What was found, in words: no more than the inputs that were run can show. */
    public String verdict() {
        long failed =
                comparisons.stream().filter(comparison -> !comparison.passed()).count();
        if (failed > 0) {
            return failed + " of " + comparisons.size() + " comparisons differ by more than the tolerance";
        }
        return passed()
                ? "outputs agree within " + agreement() + " on " + inputs.sequences() + " inputs"
                : "outputs agree on the inputs that were run, but the files differ in what was not run";
    }

    /** The limits that errors were held against, one for each precision. */
    private List<Comparison.Limit> limits() {
        return comparisons.stream()
                .flatMap(comparison -> comparison.limit().stream())
                .distinct()
                .sorted(Comparator.comparing(Comparison.Limit::precision))
                .toList();
    }

    private String agreement() {
        boolean scaled = comparisons.stream()
                .filter(comparison -> comparison
                        .limit()
                        .filter(limit -> limit.precision() == Precision.FLOAT32)
                        .isPresent())
                .flatMap(comparison -> comparison.errors().stream())
                .anyMatch(errors -> errors.maxAbsolute() > tolerance.fp32());
        return limits().stream()
                .map(limit -> Tolerance.words(limit)
                        + (limit.precision() == Precision.FLOAT32 && scaled
                                ? ", in proportion where outputs are large,"
                                : ""))
                .collect(Collectors.joining(" and "));
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
        limits().stream()
                .filter(limit -> limit.precision() != Precision.FLOAT32)
                .forEach(limit ->
                        text.append("or: ").append(Tolerance.words(limit)).append('\n'));
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
        text.append(diagnosis());
        return text.append(passed() ? "PASS: " : "FAIL: ")
                .append(verdict())
                .append('\n')
                .toString();
    }

    /** What was found, in lines; empty where that is nothing. */
    public String diagnosis() {
        StringBuilder text = new StringBuilder();
        for (Finding finding : findings) {
            text.append(finding.form()).append(": ").append(finding.sentence()).append('\n');
            finding.tensors().stream()
                    .limit(SHOWN)
                    .forEach(tensor -> text.append(String.format(
                            Locale.ROOT,
                            "    %s%s: %.6g, expected %.6g; off by %.2g of its length\n",
                            tensor.name(),
                            tensor.index(),
                            tensor.found(),
                            tensor.expected(),
                            tensor.relative())));
            int more = finding.tensors().size() - SHOWN;
            if (more > 0) {
                text.append("    and ").append(more).append(" more tensors\n");
            }
        }
        return text.toString();
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
        return node().toPrettyString();
    }

    /** The same as an object, to stand in another. */
    public ObjectNode node() {
        ObjectNode root = new JsonMapper().createObjectNode();
        root.put("passed", passed());
        root.put("tolerance", tolerance.fp32());
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
            comparison
                    .limit()
                    .ifPresent(limit ->
                            pair.put("precision", limit.precision().toString()).put("limit", limit.value()));
            comparison.errors().ifPresent(errors -> {
                pair.put("max_absolute", errors.maxAbsolute());
                pair.put("mean_absolute", errors.meanAbsolute());
                pair.put("max_relative", errors.maxRelative());
                pair.put("mean_relative", errors.meanRelative());
                pair.put("argmax_agreement", errors.argmaxAgreement());
                Errors.Likeness likeness = errors.likeness();
                pair.put("min_cosine", likeness.cosine());
                likeness.divergence().ifPresent(divergence -> pair.put("max_kl_divergence", divergence));
                likeness.top().ifPresent(top -> pair.put("top5_agreement", top));
                likeness.parting().ifPresent(place -> put(pair.putObject("greedy_parts_at"), place));
            });
            comparison.worst().ifPresent(worst -> put(pair.putObject("worst"), worst));
            comparison.failure().ifPresent(failure -> pair.put("failure", failure));
        }
        ArrayNode left = root.putArray("not_compared");
        uncompared.forEach(left::add);
        ArrayNode found = root.putArray("findings");
        for (Finding finding : findings) {
            ObjectNode one = found.addObject();
            one.put("form", finding.form());
            one.put("cause", finding.cause().name().toLowerCase(Locale.ROOT).replace('_', '-'));
            one.put("sentence", finding.sentence());
            ArrayNode tensors = one.putArray("tensors");
            for (Finding.TensorError tensor : finding.tensors()) {
                ObjectNode own = tensors.addObject();
                own.put("name", tensor.name()).put("relative", tensor.relative());
                own.put("max_absolute", tensor.maxAbsolute());
                ArrayNode index = own.putArray("index");
                tensor.index().forEach(index::add);
                own.put("found", tensor.found()).put("expected", tensor.expected());
            }
        }
        root.put("verdict", verdict());
        return root;
    }

    private static void put(ObjectNode place, Place at) {
        place.put("batch", at.batch()).put("output", at.output());
        ArrayNode index = place.putArray("index");
        at.index().forEach(index::add);
        place.put("left", at.left()).put("right", at.right());
    }
}
