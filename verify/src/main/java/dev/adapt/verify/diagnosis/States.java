package dev.adapt.verify.diagnosis;

import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.onnx.OnnxProbe;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.verify.Cause;
import dev.adapt.verify.runner.OnnxRunner;
import dev.adapt.verify.runner.Precision;
import dev.adapt.verify.runner.ReferenceRunner;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;

/**
 * Finds where an ONNX model parts from the reference: both run with what their layers give, and the values of one are looked
 * for among those of the other, whatever they are called.
 *
 * @param reference what each linear layer gives, by its canonical name, in order
 * @param found what the ONNX model computes on the way, by the value's name, in order
 * @param nodes the node that computes each
 * @param tolerance of the error over the root mean square of a value
 */
record States(
        SequencedMap<String, DoubleTensor> reference,
        SequencedMap<String, DoubleTensor> found,
        Map<String, String> nodes,
        Optional<LongTensor> mask,
        double tolerance) {
    /** float16 ends here. */
    private static final double LARGEST_HALF = 65504;

    /** The first layer that differs. */
    record Parting(Cause cause, String sentence) {}

    /** Runs both. */
    static Optional<States> of(Path model, Precision precision, ReferenceRunner runner, Map<String, Tensor> inputs)
            throws IOException {
        Optional<OnnxProbe> probe = OnnxProbe.of(model);
        if (probe.isEmpty()) {
            return Optional.empty();
        }
        Optional<OnnxRunner> opened = OnnxRunner.probing(model, probe.get());
        if (opened.isEmpty()) {
            return Optional.empty();
        }
        SequencedMap<String, DoubleTensor> expected = new LinkedHashMap<>();
        runner.outputs(inputs, Set.of(), expected::put);
        try (OnnxRunner onnx = opened.get()) {
            Set<String> floats = new LinkedHashSet<>(probe.get().values().keySet());
            floats.retainAll(onnx.outputNames());
            Map<String, DoubleTensor> values = onnx.whole(inputs, floats);
            SequencedMap<String, DoubleTensor> found = new LinkedHashMap<>();
            floats.forEach(name -> found.put(name, values.getOrDefault(name, none())));
            return Optional.of(new States(
                    expected,
                    found,
                    probe.get().values(),
                    Optional.ofNullable(inputs.get(InputSpec.MASK.name()))
                            .filter(LongTensor.class::isInstance)
                            .map(LongTensor.class::cast),
                    precision == Precision.FLOAT32 ? 1e-4 : precision == Precision.INT8 ? 0.2 : 2e-2));
        }
    }

    private static DoubleTensor none() {
        return new DoubleTensor(Shape.of(0), new double[0]);
    }

    /** Where they part; empty if every layer's values are found. */
    Optional<Parting> parting() {
        List<String> modules = List.copyOf(reference.keySet());
        boolean[] matched = new boolean[modules.size()];
        int last = -1;
        for (int i = 0; i < matched.length; i++) {
            matched[i] = isFound(reference.getOrDefault(modules.get(i), none()));
            last = matched[i] ? i : last;
        }
        Set<String> neverFound = new HashSet<>();
        for (int i = 0; i < matched.length; i++) {
            int layer = Summaries.layer(modules.get(i));
            if (!matched[i] && layer >= 0 && last >= 0 && layer < Summaries.layer(modules.get(last))) {
                // graphs that fuse layers do not have its values at all
                neverFound.add(kind(modules.get(i)));
            }
        }
        int layer = last < 0 ? -2 : Summaries.layer(modules.get(last));
        for (int i = 0; i < matched.length; i++) {
            boolean before = i < last && Summaries.layer(modules.get(i)) != layer;
            if (matched[i] || before || neverFound.contains(kind(modules.get(i)))) {
                continue;
            }
            return Optional.of(at(modules, i, last));
        }
        return Optional.empty();
    }

    private Parting at(List<String> modules, int first, int last) {
        Optional<Parting> overflow = overflow();
        if (overflow.isPresent()) {
            return overflow.get();
        }
        String before = first == 0 ? "" : modules.get(first - 1);
        return new Parting(
                Cause.COMPUTATION,
                (last < 0 || first == 0
                                ? "from the first layer on, " + modules.get(first) + ", it gives something else"
                                : "they part between " + before + ", which agrees, and " + modules.get(first)
                                        + ", which does not")
                        + "; the weights are the same");
    }

    /** A value that is not finite, and the layer that it is in. */
    Optional<Parting> overflow() {
        for (Map.Entry<String, DoubleTensor> state : reference.entrySet()) {
            double largest = largest(state.getValue());
            if (largest > LARGEST_HALF && hasInfinity()) {
                return Optional.of(overflow(
                        state.getKey(),
                        String.format(Locale.ROOT, "%s reaches %.6g, float16 ends at 65504", state.getKey(), largest)));
            }
        }
        for (Map.Entry<String, DoubleTensor> value : found.entrySet()) {
            if (!isFinite(value.getValue())) {
                String node = nodes.getOrDefault(value.getKey(), value.getKey());
                String module = reference.entrySet().stream()
                        .filter(state -> !isFound(state.getValue()))
                        .map(Map.Entry::getKey)
                        .findFirst()
                        .orElse(node);
                return Optional.of(overflow(module, "the first value that is not finite is that of " + node));
            }
        }
        return Optional.empty();
    }

    private static Parting overflow(String module, String detail) {
        int layer = Summaries.layer(module);
        return new Parting(
                Cause.FLOAT16_OVERFLOW, "float16 overflow" + (layer < 0 ? "" : " in layer " + layer) + ": " + detail);
    }

    private boolean hasInfinity() {
        return found.values().stream().anyMatch(value -> !isFinite(value));
    }

    private static boolean isFinite(DoubleTensor tensor) {
        for (double value : tensor.values()) {
            if (!Double.isFinite(value)) {
                return false;
            }
        }
        return true;
    }

    private static double largest(DoubleTensor tensor) {
        double largest = 0;
        for (double value : tensor.values()) {
            largest = Math.max(largest, Math.abs(value));
        }
        return largest;
    }

    private static String kind(String module) {
        return module.replaceFirst("\\d+", "*");
    }

    private boolean isFound(DoubleTensor state) {
        List<Integer> kept = kept(state);
        int width = width(state);
        double squares = 0;
        for (int row : kept) {
            for (int i = row * width; i < (row + 1) * width; i++) {
                squares += state.values()[i] * state.values()[i];
            }
        }
        double limit = tolerance * Math.max(1e-6, Math.sqrt(squares / Math.max(1, kept.size() * width)));
        return found.values().stream()
                .anyMatch(value -> value.values().length == state.values().length
                        && width(value) == width
                        && isNear(value.values(), state.values(), kept, width, 10 * limit));
    }

    private static boolean isNear(double[] a, double[] b, List<Integer> rows, int width, double limit) {
        for (int row : rows) {
            for (int i = row * width; i < (row + 1) * width; i++) {
                if (!(Math.abs(a[i] - b[i]) <= limit)) {
                    return false;
                }
            }
        }
        return true;
    }

    private static int width(DoubleTensor tensor) {
        int rank = tensor.shape().rank();
        return rank == 0 ? 1 : Math.max(1, (int) tensor.shape().dim(rank - 1));
    }

    /** The rows that belong to tokens which the mask keeps; all where rows are no tokens. */
    private List<Integer> kept(DoubleTensor state) {
        int rows = state.values().length / width(state);
        long[] tokens = mask.map(LongTensor::values).orElse(new long[0]);
        List<Integer> kept = new ArrayList<>();
        for (int row = 0; row < rows; row++) {
            if (tokens.length != rows || tokens[row] != 0) {
                kept.add(row);
            }
        }
        return kept;
    }
}
