package dev.adapt.verify.compare;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.verify.runner.Precision;
import dev.adapt.verify.runner.Runner;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.DoubleUnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class EquivalenceTest {
    private static final double TOLERANCE = 1e-4;
    private static final List<Map<String, Tensor>> BATCHES = List.of(input(3, 1, 4), input(2, 0, 0));

    @Test
    void identicalRunnersHaveNoError() {
        Comparison comparison = compare(changed(value -> value), changed(value -> value));
        Errors.Likeness alike = new Errors.Likeness(1, Optional.empty(), Optional.empty(), Optional.empty());
        Errors errors = comparison.errors().orElseThrow();
        assertEquals(1, errors.likeness().cosine(), 1e-12);
        assertEquals(
                new Errors(0, 0, 0, 0, 1, alike),
                new Errors(
                        errors.maxAbsolute(),
                        errors.meanAbsolute(),
                        errors.maxRelative(),
                        errors.meanRelative(),
                        errors.argmaxAgreement(),
                        alike));
        assertTrue(comparison.passed());
    }

    @Test
    void allErrorsAreThoseOfTheirDefinitions() {
        // logits [3, 1, 4] and [2, 0, 0]; the other runner gives [3.001, 1.001, 4.001] and [2.001, 0.001, 0.001]
        Errors errors = compare(changed(value -> value), changed(value -> value + 0.001))
                .errors()
                .orElseThrow();
        double rms1 = Math.sqrt((9 + 1 + 16 + sq(3.001) + sq(1.001) + sq(4.001)) / 6);
        double rms2 = Math.sqrt((4 + sq(2.001) + 2 * sq(0.001)) / 6);
        assertEquals(0.001, errors.maxAbsolute(), 1e-12);
        assertEquals(0.001, errors.meanAbsolute(), 1e-12);
        assertEquals(0.001 / rms2, errors.maxRelative(), 1e-12);
        assertEquals((0.001 / rms1 + 0.001 / rms2) / 2, errors.meanRelative(), 1e-12);
        assertEquals(1, errors.argmaxAgreement());
    }

    @ParameterizedTest
    @ValueSource(doubles = {1.01, 10, 1e6})
    void fallsBeyondTheTolerance(double times) {
        Comparison comparison = compare(changed(value -> value), changed(value -> value - TOLERANCE * times));
        assertFalse(comparison.passed());
        assertTrue(
                comparison.failure().orElseThrow().contains("1.00e-04"),
                () -> comparison.failure().toString());
    }

    @Test
    void passesWithinTheTolerance() {
        assertTrue(compare(changed(value -> value), changed(value -> value - TOLERANCE * 0.99))
                .passed());
    }

    /** The rows' root mean squares are 2.9 and 1.2, the tolerance half of them. */
    @ParameterizedTest
    @CsvSource({"0.0009, true", "0.01, true", "0.6, false"})
    void whereFloat16ComputesTheErrorMayGrowWithTheRow(double relative, boolean passes) {
        Runner exact = changed(value -> value);
        Runner near = changed(value -> value * (1 + relative));
        Runner half = new Runner("half", Precision.FLOAT16, near.outputs(), Map.of(), near.run());
        for (Comparison comparison : List.of(
                compareAll(List.of(exact, half), BATCHES).getFirst(),
                compareAll(List.of(half, exact), BATCHES).getFirst())) {
            assertEquals(passes, comparison.passed());
        }
        assertFalse(compareAll(List.of(exact, changed(value -> value * (1 + relative))), BATCHES)
                .getFirst()
                .passed());
    }

    @ParameterizedTest
    @ValueSource(doubles = {Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY})
    void aValueThatIsNoNumberFailsEvenAgainstItself(double value) {
        DoubleUnaryOperator broken = x -> x == 0 ? value : x;
        Comparison comparison = compare(changed(broken), changed(broken));
        assertFalse(comparison.passed());
        assertTrue(comparison.errors().isEmpty());
        assertEquals(
                "batch 2: 2 of 3 values of first are NaN or infinite",
                comparison.failure().orElseThrow());
    }

    @Test
    void anotherShapeFails() {
        Runner narrow = Runner.single("second", inputs -> new DoubleTensor(Shape.of(1, 2), new double[] {3, 1}));
        Comparison comparison = compare(changed(value -> value), narrow);
        assertEquals(
                "batch 1: the shapes are [1, 3] and [1, 2]",
                comparison.failure().orElseThrow());
    }

    @Test
    void argmaxFlipsAreCounted() {
        // the rows' largest elements are the third and the first; negated, the second and the second
        Errors errors = compare(changed(value -> value), changed(value -> value == 2 ? 2 : -value))
                .errors()
                .orElseThrow();
        assertEquals(0.5, errors.argmaxAgreement());
    }

    @Test
    void nothingToCompareIsNoPass() {
        Runner empty = Runner.single("empty", inputs -> new DoubleTensor(Shape.of(0, 3), new double[0]));
        assertFalse(compare(empty, empty).passed());
        assertFalse(compareAll(List.of(empty, empty), List.of()).getFirst().passed());
        assertFalse(new Report(
                        new Report.Summary(0, "nothing", OptionalLong.empty(), Optional.empty()),
                        new Tolerance(TOLERANCE, 1),
                        List.of("one"),
                        List.of(),
                        List.of(),
                        List.of())
                .passed());
    }

    @Test
    void everyPairIsComparedOnce() {
        Runner runner = changed(value -> value);
        assertEquals(
                6, compareAll(List.of(runner, runner, runner, runner), BATCHES).size());
    }

    private static Comparison compare(Runner left, Runner right) {
        return compareAll(List.of(named("first", left), named("second", right)), BATCHES)
                .getFirst();
    }

    private static Runner named(String name, Runner runner) {
        return new Runner(name, runner.outputs(), runner.run());
    }

    private static List<Comparison> compareAll(List<Runner> runners, List<Map<String, Tensor>> batches) {
        return Equivalence.compare(runners, batches, new Tolerance(TOLERANCE, 0.5));
    }

    private static Runner changed(DoubleUnaryOperator change) {
        return Runner.single("any", inputs -> {
            DoubleTensor logits = DoubleTensor.of(inputs.values().iterator().next());
            double[] values = logits.values().clone();
            for (int i = 0; i < values.length; i++) {
                values[i] = change.applyAsDouble(values[i]);
            }
            return new DoubleTensor(logits.shape(), values);
        });
    }

    private static Map<String, Tensor> input(long... logits) {
        return Map.of("logits", new LongTensor(Shape.of(1, logits.length), logits));
    }

    private static double sq(double value) {
        return value * value;
    }
}
