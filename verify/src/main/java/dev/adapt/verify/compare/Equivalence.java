package dev.adapt.verify.compare;

import dev.adapt.formats.graph.CacheSpec;
import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.verify.runner.Runner;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.stream.Stream;

/** Runs several forms of a model on the same inputs and compares each output of each with that of each other. */
public final class Equivalence {
    /** The group that a decoder's keys and values are compared in. */
    private static final String KEYS_AND_VALUES = CacheSpec.PRESENT + "*";

    private final List<Runner> runners;
    private final List<Pair> pairs = new ArrayList<>();
    private final int products;
    private final Tolerance tolerance;

    private Equivalence(List<Runner> runners, int products, Tolerance tolerance) {
        this.runners = runners;
        this.products = products;
        this.tolerance = tolerance;
        for (int left = 0; left < runners.size(); left++) {
            for (int right = left + 1; right < runners.size(); right++) {
                pairs.add(new Pair(left, right, new LinkedHashMap<>()));
            }
        }
    }

    /**
     * Compares all pairs of runners by the names of their outputs. Two are equal if all outputs that both give have the
     * same shapes and only finite values, and no element differs by more than the tolerance. What is given for padding,
     * where {@code attention_mask} is 0, is left out.
     *
     * @param batches inputs by name, one map for each run
     * @return for each pair one comparison for each output that both give, at least one
     */
    public static List<Comparison> compare(
            List<Runner> runners, List<Map<String, Tensor>> batches, Tolerance tolerance) {
        return compare(runners, batches, 1, tolerance);
    }

    /**
     * The same, for models of a known depth.
     *
     * @param products linear layers between an input and the outputs, one after the other
     */
    public static List<Comparison> compare(
            List<Runner> runners, List<Map<String, Tensor>> batches, int products, Tolerance tolerance) {
        Equivalence equivalence = new Equivalence(runners, products, tolerance);
        // batch by batch: outputs of long sequences are large, and only one batch's are held
        for (int batch = 0; batch < batches.size(); batch++) {
            equivalence.add(batch + 1, batches.get(batch));
        }
        return equivalence.pairs.stream().flatMap(equivalence::comparisons).toList();
    }

    /**
     * The outputs that are compared with no other form, each in words with the reason.
     */
    static List<String> uncompared(List<Runner> runners) {
        List<String> left = new ArrayList<>();
        for (int index = 0; index < runners.size(); index++) {
            Runner runner = runners.get(index);
            Set<String> shared = shared(outputs(runners), index);
            runner.outputs().stream()
                    .filter(output -> !shared.contains(output))
                    .map(Equivalence::group)
                    .distinct()
                    .forEach(output -> left.add(output + " of " + runner.name() + ": no other form gives it"));
            runner.incomparable()
                    .forEach((output, holds) -> left.add(output + " of " + runner.name() + ": it holds " + holds));
        }
        return left;
    }

    private static List<List<String>> outputs(List<Runner> runners) {
        return runners.stream().map(Runner::outputs).toList();
    }

    /**
     * The outputs of a form that another gives too: those that are compared.
     *
     * @param outputs the names of the outputs of each form
     * @param index of the form
     */
    public static Set<String> shared(List<List<String>> outputs, int index) {
        Set<String> shared = new LinkedHashSet<>();
        for (int other = 0; other < outputs.size(); other++) {
            if (other != index) {
                shared.addAll(outputs.get(other));
            }
        }
        shared.retainAll(outputs.get(index));
        return shared;
    }

    /** Two runners, and their errors by the name of the output or its group. */
    private record Pair(int left, int right, SequencedMap<String, Tally> tallies) {}

    private void add(int batch, Map<String, Tensor> inputs) {
        List<Map<String, DoubleTensor>> outputs = new ArrayList<>();
        for (int index = 0; index < runners.size(); index++) {
            Set<String> wanted = shared(outputs(runners), index);
            outputs.add(wanted.isEmpty() ? Map.of() : runners.get(index).run().outputs(inputs, wanted));
        }
        Optional<LongTensor> mask = Optional.ofNullable(inputs.get(InputSpec.MASK.name()))
                .filter(LongTensor.class::isInstance)
                .map(LongTensor.class::cast);
        for (Pair pair : pairs) {
            for (String output : common(pair)) {
                tally(pair, output)
                        .add(
                                batch,
                                output,
                                Objects.requireNonNull(outputs.get(pair.left()).get(output)),
                                Objects.requireNonNull(outputs.get(pair.right()).get(output)),
                                mask);
            }
        }
    }

    private List<String> common(Pair pair) {
        return runners.get(pair.left()).outputs().stream()
                .filter(runners.get(pair.right()).outputs()::contains)
                .toList();
    }

    private Tally tally(Pair pair, String output) {
        return pair.tallies().computeIfAbsent(group(output), group -> {
            Runner left = runners.get(pair.left());
            Runner right = runners.get(pair.right());
            return new Tally(left, right, group, products, tolerance);
        });
    }

    private static String group(String output) {
        return output.startsWith(CacheSpec.PRESENT) ? KEYS_AND_VALUES : output;
    }

    private Stream<Comparison> comparisons(Pair pair) {
        if (common(pair).isEmpty()) {
            Runner left = runners.get(pair.left());
            Runner right = runners.get(pair.right());
            String failure = "no output has the same name in both: " + String.join(", ", left.outputs()) + "; "
                    + String.join(", ", right.outputs());
            return Stream.of(new Comparison(
                    left.name(),
                    right.name(),
                    "",
                    Optional.empty(),
                    Optional.empty(),
                    Optional.empty(),
                    Optional.of(failure)));
        }
        if (pair.tallies().isEmpty()) {
            // there were no batches
            tally(pair, common(pair).getFirst());
        }
        return pair.tallies().values().stream().map(Tally::comparison);
    }
}
