package dev.adapt.train.djl;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.training.GradientCollector;
import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.algebra.Frequencies;
import dev.adapt.formats.algebra.LowRank;
import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.algebra.OutGain;
import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.algebra.Region;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

@DisplayName("DJL's interpreter gives the float64 reference's values, and gradients its finite differences confirm")
class NDArrayOpsTest {
    /** A formula on tensors, written once for both interpreters. */
    interface Formula {
        <T> T of(Ops<T> ops, List<T> x);
    }

    /** A formula with the shapes of what it is of. */
    record Case(String name, List<Shape> shapes, Formula formula) {
        @Override
        public String toString() {
            return name;
        }
    }

    static Stream<Case> cases() {
        List<Case> cases = new ArrayList<>();
        cases.add(new Case("lora", List.of(Shape.of(2, 3, 5), Shape.of(4, 2), Shape.of(2, 5)), new Formula() {
            @Override
            public <T> T of(Ops<T> ops, List<T> x) {
                return new LowRank<>(x.get(1), x.get(2), 1.5).apply(ops, x.get(0));
            }
        }));
        cases.add(new Case(
                "vera",
                List.of(Shape.of(2, 3, 5), Shape.of(4, 7), Shape.of(7, 5), Shape.of(4), Shape.of(7)),
                new Formula() {
                    @Override
                    public <T> T of(Ops<T> ops, List<T> x) {
                        return new LowRank<>(x.get(1), x.get(2), Optional.of(x.get(3)), Optional.of(x.get(4)), 1)
                                .apply(ops, x.get(0));
                    }
                }));
        cases.add(new Case("scatter", List.of(Shape.of(4), Shape.of(3, 5)), new Formula() {
            @Override
            public <T> T of(Ops<T> ops, List<T> x) {
                // the second and the last value share a place, and the third lies outside
                float[] places = {1, 2, 0, 2, 4, 0, 3, 0};
                T at = ops.constant(new FloatTensor(Shape.of(2, 4), places));
                return ops.mul(ops.scatter(x.get(0), at, new Region(1, 3, 0, 5)), x.get(1));
            }
        }));
        cases.add(new Case("inverse Fourier", List.of(Shape.of(3), Shape.of(6, 5)), new Formula() {
            @Override
            public <T> T of(Ops<T> ops, List<T> x) {
                Frequencies at = new Frequencies(new int[] {1, 0, 5}, new int[] {4, 0, 2}, 6, 5);
                return ops.mul(ops.inverseFourier(x.get(0), at, Region.of(6, 5)), x.get(1));
            }
        }));
        cases.add(new Case("linear", List.of(Shape.of(2, 3, 5), Shape.of(4, 5), Shape.of(4)), new Formula() {
            @Override
            public <T> T of(Ops<T> ops, List<T> x) {
                return ops.linear(x.get(0), x.get(1), Optional.of(x.get(2)));
            }
        }));
        cases.add(new Case(
                "attention",
                List.of(Shape.of(2, 2, 3, 4), Shape.of(2, 2, 5, 4), Shape.of(2, 2, 5, 4), Shape.of(2, 1, 1, 5)),
                new Formula() {
                    @Override
                    public <T> T of(Ops<T> ops, List<T> x) {
                        return ops.attention(x.get(0), x.get(1), x.get(2), Optional.of(x.get(3)), 0.5, 0);
                    }
                }));
        cases.add(new Case("layer norm", List.of(Shape.of(2, 3, 6), Shape.of(6), Shape.of(6)), new Formula() {
            @Override
            public <T> T of(Ops<T> ops, List<T> x) {
                return ops.layerNorm(x.get(0), x.get(1), x.get(2), 1e-5);
            }
        }));
        cases.add(new Case("one part joined", List.of(Shape.of(2, 3)), new Formula() {
            @Override
            public <T> T of(Ops<T> ops, List<T> x) {
                return ops.concat(0, List.of(x.get(0)));
            }
        }));
        cases.add(new Case("largest along an axis", List.of(Shape.of(2, 3, 6), Shape.of(2, 1, 6)), new Formula() {
            @Override
            public <T> T of(Ops<T> ops, List<T> x) {
                return ops.mul(ops.maximum(x.get(0), 1), x.get(1));
            }
        }));
        cases.add(new Case("RMS norm", List.of(Shape.of(2, 3, 6), Shape.of(6)), new Formula() {
            @Override
            public <T> T of(Ops<T> ops, List<T> x) {
                return ops.rmsNorm(x.get(0), x.get(1), 1e-5);
            }
        }));
        cases.add(new Case("rotary", List.of(Shape.of(2, 2, 3, 4), Shape.of(2, 2, 3, 6)), new Formula() {
            @Override
            public <T> T of(Ops<T> ops, List<T> x) {
                FloatTensor frequencies = new FloatTensor(Shape.of(2), new float[] {1, 0.1f});
                T begun = ops.equal(ops.integer(1), ops.integer(1));
                T ones = ops.add(ops.positions(ops.reshape(begun, 1, 1)), begun);
                T positions = ops.reshape(ops.cumSum(ops.concat(1, List.of(ones, ones, ones)), 1), 1, -1);
                T angles = ops.reshape(ops.angles(positions, frequencies), 1, 1, 3, 2);
                T turned = ops.rotary(x.get(0), ops.cos(angles), ops.sin(angles), 4);
                return ops.mul(turned, ops.tail(x.get(1), turned));
            }
        }));
        cases.add(new Case("integers", List.of(Shape.of(2, 1, 3, 3)), new Formula() {
            @Override
            public <T> T of(Ops<T> ops, List<T> x) {
                T one = ops.reshape(ops.integer(1), 1, 1);
                T counted = ops.cumSum(ops.concat(1, List.of(one, one, one)), 1);
                T seen = ops.lessOrEqual(ops.reshape(counted, 1, 3), ops.reshape(counted, 3, 1));
                T other = ops.not(ops.equal(ops.reshape(counted, 1, 3), ops.integer(2)));
                return ops.mul(ops.toFloat(ops.add(seen, ops.negate(other))), x.get(0));
            }
        }));
        cases.add(new Case("concat", List.of(Shape.of(2, 2, 3), Shape.of(2, 1, 3)), new Formula() {
            @Override
            public <T> T of(Ops<T> ops, List<T> x) {
                T joined = ops.concat(1, List.of(x.get(0), x.get(1), x.get(0)));
                return ops.mul(joined, joined);
            }
        }));
        cases.add(new Case("arithmetic", List.of(Shape.of(2, 3), Shape.of(3), Shape.of(2, 1)), new Formula() {
            @Override
            public <T> T of(Ops<T> ops, List<T> x) {
                T sum = ops.mul(ops.add(x.get(0), x.get(2)), x.get(1));
                T squared = ops.affine(ops.mul(x.get(1), x.get(1)), 2, 3);
                return ops.div(ops.softmax(sum), ops.sum(squared, 0));
            }
        }));
        cases.add(new Case("shapes", List.of(Shape.of(2, 3, 4)), new Formula() {
            @Override
            public <T> T of(Ops<T> ops, List<T> x) {
                T turned = ops.transpose(ops.reshape(x.get(0), 0, -1, 2, 2), 0, 2, 1, 3);
                return ops.reshape(ops.slice(turned, 2, 1, 3), 0, 4, -1);
            }
        }));
        for (Activation activation : Activation.values()) {
            cases.add(new Case(activation.toString(), List.of(Shape.of(40)), new Formula() {
                @Override
                public <T> T of(Ops<T> ops, List<T> x) {
                    return ops.activation(ops.affine(x.get(0), 2, 0), activation);
                }
            }));
        }
        return cases.stream();
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("cases")
    void valuesAndGradients(Case given) {
        Random random = new Random(given.name().hashCode());
        List<FloatTensor> inputs =
                given.shapes().stream().map(shape -> random(shape, random)).toList();
        DoubleTensor expected =
                reference(given, inputs.stream().map(DoubleTensor::of).toList());
        FloatTensor weights = random(expected.shape(), random);
        try (NDManager step = NDManager.newBaseManager()) {
            NDArrayOps ops = new NDArrayOps(step, Optional.of(new Dropout(1)));
            List<NDArray> arrays = inputs.stream().map(ops::constant).toList();
            arrays.forEach(array -> array.setRequiresGradient(true));
            try (GradientCollector collector = Engine.getInstance().newGradientCollector()) {
                NDArray result = given.formula().of(ops, arrays);
                collector.backward(result.mul(ops.constant(weights)).sum());
                assertClose(given + ": values", expected.values(), result.toFloatArray(), 1e-5);
            }
            for (int i = 0; i < arrays.size(); i++) {
                double[] differences = finiteDifferences(given, inputs, i, weights);
                assertTrue(Arrays.stream(differences).anyMatch(value -> Math.abs(value) > 1e-3), "nothing to see");
                assertClose(
                        given + ": gradient of input " + i,
                        differences,
                        arrays.get(i).getGradient().toFloatArray(),
                        2e-5);
            }
        }
    }

    private static double[] finiteDifferences(Case given, List<FloatTensor> inputs, int which, FloatTensor weights) {
        double h = 1e-5;
        double[] gradient = new double[inputs.get(which).values().length];
        for (int at = 0; at < gradient.length; at++) {
            double[] sums = new double[2];
            for (int side = 0; side < 2; side++) {
                List<DoubleTensor> moved = new ArrayList<>();
                for (FloatTensor input : inputs) {
                    DoubleTensor wide = DoubleTensor.of(input);
                    moved.add(new DoubleTensor(wide.shape(), wide.values().clone()));
                }
                moved.get(which).values()[at] += side == 0 ? h : -h;
                double[] values = reference(given, moved).values();
                for (int i = 0; i < values.length; i++) {
                    sums[side] += values[i] * weights.values()[i];
                }
            }
            gradient[at] = (sums[0] - sums[1]) / (2 * h);
        }
        return gradient;
    }

    private static DoubleTensor reference(Case given, List<DoubleTensor> inputs) {
        return given.formula().of(new ReferenceOps(), inputs);
    }

    private static void assertClose(String what, double[] expected, float[] found, double tolerance) {
        assertEquals(expected.length, found.length, what);
        for (int i = 0; i < expected.length; i++) {
            assertEquals(expected[i], found[i], tolerance * Math.max(1, Math.abs(expected[i])), what + " at " + i);
        }
    }

    @Test
    @DisplayName("a gradient survives garbage collection between the forward and the backward pass")
    void gradientSurvivesGarbageCollection() {
        try (NDManager step = NDManager.newBaseManager()) {
            NDArrayOps ops = new NDArrayOps(step, Optional.of(new Dropout(1)));
            NDArray x = ops.constant(new FloatTensor(Shape.of(3), new float[] {1, 2, 3}));
            x.setRequiresGradient(true);
            for (int round = 1; round <= 20; round++) {
                try (GradientCollector collector = Engine.getInstance().newGradientCollector()) {
                    NDArray result = ops.affine(x, 2.5, 1).sum();
                    System.gc();
                    for (int i = 0; i < 100; i++) {
                        ops.constant((float) i);
                    }
                    collector.backward(result);
                }
                // gradients of several passes add up
                assertEquals(2.5f * round, x.getGradient().toFloatArray()[1], "round " + round);
            }
        }
    }

    @Test
    @DisplayName("dropout drops about the share asked for and keeps the mean, and nothing when not training")
    void dropout() {
        try (NDManager step = NDManager.newBaseManager()) {
            float[] ones = new float[20_000];
            Arrays.fill(ones, 1);
            FloatTensor tensor = new FloatTensor(Shape.of(ones.length), ones);
            NDArrayOps training = new NDArrayOps(step, Optional.of(new Dropout(1)));
            float[] dropped = training.dropout(training.constant(tensor), 0.25).toFloatArray();
            int zeros = 0;
            for (float value : dropped) {
                zeros += value == 0 ? 1 : 0;
                assertTrue(value == 0 || Math.abs(value - 1 / 0.75) < 1e-6, "value " + value);
            }
            assertEquals(0.25, (double) zeros / ones.length, 0.02);
            float[] next = training.dropout(training.constant(tensor), 0.25).toFloatArray();
            int both = 0;
            for (int i = 0; i < next.length; i++) {
                both += dropped[i] == 0 && next[i] == 0 ? 1 : 0;
            }
            assertEquals(0.25 * 0.25, (double) both / ones.length, 0.01);
            NDArrayOps again = new NDArrayOps(step, Optional.of(new Dropout(1)));
            assertArrayEquals(
                    dropped, again.dropout(again.constant(tensor), 0.25).toFloatArray());
            NDArrayOps evaluating = new NDArrayOps(step, Optional.empty());
            NDArray x = evaluating.constant(tensor);
            assertEquals(x, evaluating.dropout(x, 0.25));
        }
    }

    @Test
    @DisplayName("DoRA's norm is a constant to the gradient, and its value that of the adapted weight")
    void theNormOfDoraIsConstant() {
        Random random = new Random(11);
        FloatTensor x = random(Shape.of(2, 3, 5), random);
        FloatTensor weight = random(Shape.of(4, 5), random);
        FloatTensor bias = random(Shape.of(4), random);
        List<FloatTensor> trained =
                List.of(random(Shape.of(4, 2), random), random(Shape.of(2, 5), random), random(Shape.of(4), random));
        FloatTensor weights = random(Shape.of(2, 3, 4), random);
        // finite differences of the same formula with the norm as it is at the start
        ReferenceOps reference = new ReferenceOps();
        DoubleTensor norm =
                norm(reference, trained.stream().map(DoubleTensor::of).toList(), DoubleTensor.of(weight));
        Case constant = new Case("dora", List.of(), new Formula() {
            @Override
            public <T> T of(Ops<T> ops, List<T> y) {
                T whole = ops.add(
                        ops.linear(ops.constant(x), ops.constant(weight), Optional.empty()),
                        new LowRank<>(y.get(0), y.get(1), 1.5).apply(ops, ops.constant(x)));
                T scale = ops.div(y.get(2), ops.constant(new FloatTensor(norm.shape(), norm.toFloats())));
                return ops.add(ops.mul(whole, scale), ops.constant(bias));
            }
        });
        try (NDManager step = NDManager.newBaseManager()) {
            NDArrayOps ops = new NDArrayOps(step, Optional.of(new Dropout(1)));
            List<NDArray> arrays = trained.stream().map(ops::constant).toList();
            arrays.forEach(array -> array.setRequiresGradient(true));
            Map<String, NDArray> model = Map.of("layer.weight", ops.constant(weight), "layer.bias", ops.constant(bias));
            WeightChange<NDArray> update = WeightChange.of(new LowRank<>(arrays.get(0), arrays.get(1), 1.5))
                    .with(new OutGain.Magnitude<>(arrays.get(2)));
            Layers.Adapted<NDArray> adapted = new Layers.Adapted<>(update, 4, 5);
            Layers<NDArray> layers =
                    new Layers<>(ops, model::get, model::containsKey, Map.of("layer", adapted), 0, Optional.empty());
            try (GradientCollector collector = Engine.getInstance().newGradientCollector()) {
                NDArray result = layers.linear(ops.constant(x), "layer");
                collector.backward(result.mul(ops.constant(weights)).sum());
                double[] expected = reference(
                                constant, trained.stream().map(DoubleTensor::of).toList())
                        .values();
                assertClose("values", expected, result.toFloatArray(), 1e-5);
            }
            for (int i = 0; i < arrays.size(); i++) {
                assertClose(
                        "gradient of " + i,
                        finiteDifferences(constant, trained, i, weights),
                        arrays.get(i).getGradient().toFloatArray(),
                        2e-5);
            }
        }
    }

    /** ‖W + 1.5·B·A‖ of each row, element by element. */
    private static DoubleTensor norm(ReferenceOps ops, List<DoubleTensor> trained, DoubleTensor weight) {
        DoubleTensor delta = ops.affine(ops.matMul(trained.get(0), trained.get(1)), 1.5, 0);
        double[] whole = ops.add(weight, delta).values();
        double[] norm = new double[4];
        for (int row = 0; row < norm.length; row++) {
            norm[row] = Math.sqrt(Arrays.stream(whole, 5 * row, 5 * row + 5)
                    .map(value -> value * value)
                    .sum());
        }
        return new DoubleTensor(Shape.of(4), norm);
    }

    private static FloatTensor random(Shape shape, Random random) {
        float[] values = new float[Math.toIntExact(shape.elements())];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return new FloatTensor(shape, values);
    }
}
