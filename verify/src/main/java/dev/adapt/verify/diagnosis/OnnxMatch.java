package dev.adapt.verify.diagnosis;

import dev.adapt.formats.onnx.OnnxContents;
import dev.adapt.formats.onnx.OnnxContents.Weight;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.verify.Precision;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;

/**
 * Finds the weights of a checkpoint in an ONNX model, whoever exported it: by their names, by the names of the modules that
 * nodes carry, by their values, and where as many tensors of one shape are left over on both sides by their order.
 */
final class OnnxMatch {
    /** Quantizing moves a value by half a step; ties and clipping leave a little more. */
    private static final double HALF_STEP = 0.55;

    /**
     * A weight of the model for a name of the checkpoint.
     *
     * @param turned whether it is stored the other way than the checkpoint's
     */
    private record Match(Weight weight, boolean turned) {}

    private final OnnxContents contents;
    private final NamedWeights expected;
    private final Predicate<String> storedAsIn;
    private final Map<String, Shape> shapes = new LinkedHashMap<>();
    private final Map<String, Match> matches = new LinkedHashMap<>();
    private final Set<String> taken = new HashSet<>();

    private OnnxMatch(OnnxContents contents, NamedWeights expected, Predicate<String> storedAsIn) {
        this.contents = contents;
        this.expected = expected;
        this.storedAsIn = storedAsIn;
        for (String name : expected.names()) {
            expected.of(name).ifPresent(tensor -> shapes.put(name, tensor.shape()));
        }
    }

    /**
     * The weights of a model.
     *
     * @param contents must stay open meanwhile
     * @param storedAsIn whether the checkpoint stores a matrix [in, out]
     */
    static NamedWeights of(OnnxContents contents, NamedWeights expected, Predicate<String> storedAsIn) {
        OnnxMatch match = new OnnxMatch(contents, expected, storedAsIn);
        List<Weight> weights = contents.weights();
        match.byName(weights);
        match.byValue(weights);
        match.byOrder(weights);
        return new NamedWeights(match.matches.keySet(), match::values, match::noise);
    }

    private void byName(List<Weight> weights) {
        for (Weight weight : weights) {
            if (weight.parameter().isEmpty()) {
                continue;
            }
            String parameter = weight.parameter().get();
            Optional<String> best = Optional.empty();
            for (String name : shapes.keySet()) {
                boolean ends = parameter.equals(name) || parameter.endsWith("." + name);
                if (ends && best.filter(own -> own.length() >= name.length()).isEmpty()) {
                    best = Optional.of(name);
                }
            }
            if (best.isPresent() && !matches.containsKey(best.get())) {
                add(best.get(), weight);
            }
        }
    }

    private void add(String name, Weight weight) {
        matches.put(name, new Match(weight, isTurned(name, weight)));
        taken.add(weight.name());
    }

    private boolean isTurned(String name, Weight weight) {
        Shape own = shapes.getOrDefault(name, weight.shape());
        if (own.rank() != 2 || weight.shape().rank() != 2) {
            return false;
        }
        boolean square = own.dim(0) == own.dim(1);
        return square
                ? weight.turned() && !storedAsIn.test(name)
                : !weight.shape().equals(own);
    }

    private void byValue(List<Weight> weights) {
        for (String name : shapes.keySet()) {
            if (matches.containsKey(name)) {
                continue;
            }
            Shape shape = shapes.getOrDefault(name, Shape.of());
            Optional<FloatTensor> should = Optional.empty();
            for (Weight weight : weights) {
                if (!fits(weight, shape)) {
                    continue;
                }
                FloatTensor values =
                        should.isPresent() ? should.get() : expected.of(name).orElseThrow();
                should = Optional.of(values);
                if (holds(name, weight, values)) {
                    add(name, weight);
                    break;
                }
            }
        }
    }

    private boolean fits(Weight weight, Shape shape) {
        boolean reversed = shape.rank() == 2 && weight.shape().equals(Shape.of(shape.dim(1), shape.dim(0)));
        // a tied table may stand for two names
        return weight.shape().equals(shape) || reversed;
    }

    private boolean holds(String name, Weight weight, FloatTensor values) {
        FloatTensor own = contents.values(weight);
        FloatTensor upright = isTurned(name, weight) ? own.transposed() : own;
        return Values.maxDistance(upright, values) <= noise(weight).of(Values.largest(values));
    }

    /** Where as many of one shape are left on both sides, they are taken in their order. */
    private void byOrder(List<Weight> weights) {
        Map<Shape, List<String>> names = new LinkedHashMap<>();
        shapes.forEach((name, shape) -> {
            if (!matches.containsKey(name)) {
                names.computeIfAbsent(shape, absent -> new ArrayList<>()).add(name);
            }
        });
        names.forEach((shape, own) -> {
            List<Weight> left = weights.stream()
                    .filter(weight -> !taken.contains(weight.name()) && fits(weight, shape))
                    .toList();
            if (left.size() == own.size()) {
                for (int i = 0; i < own.size(); i++) {
                    add(own.get(i), left.get(i));
                }
            }
        });
    }

    private Optional<FloatTensor> values(String name) {
        Match match = matches.get(name);
        if (match == null) {
            return Optional.empty();
        }
        FloatTensor own = contents.values(match.weight());
        return Optional.of(match.turned() ? own.transposed() : own);
    }

    private NamedWeights.Noise noise(String name) {
        Match match = matches.get(name);
        return match == null ? NamedWeights.Noise.of(Precision.FLOAT32) : noise(match.weight());
    }

    private NamedWeights.Noise noise(Weight weight) {
        // a scale in float32 is exact: the step is all that quantizing leaves
        Precision stored = weight.step() > 0 ? Precision.FLOAT32 : Precision.of(weight.dtype());
        return new NamedWeights.Noise(NamedWeights.Noise.of(stored).relative(), HALF_STEP * weight.step());
    }
}
