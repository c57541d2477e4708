package dev.adapt.merge.convert;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.merge.convert.Combination.MajoritySign;
import dev.adapt.merge.convert.Combination.Term;
import dev.adapt.merge.lowrank.Factors;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import java.util.stream.IntStream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("Combinations whose result a reader can compute in the head")
class CombinationTest {
    /** Rank 1 on a layer [1, n]: {@code ΔW = scale·b·a}. */
    private static Term term(int adapter, double scale, double weight, double b, double... a) {
        return new Term(
                adapter,
                new Factors(
                        new DoubleTensor(Shape.of(1, 1), new double[] {b}), new DoubleTensor(Shape.of(1, a.length), a)),
                scale,
                weight);
    }

    private static Factors combine(CombinationType type, double density, MajoritySign sign, Term... terms) {
        return new Combination(type, density, sign, 5, OptionalInt.empty()).of("m", List.of(terms));
    }

    @Test
    @DisplayName("linear takes the root of weight times scale into each factor, and the sign into A")
    void linear() {
        Factors sum = combine(
                CombinationType.LINEAR, 1, MajoritySign.TOTAL, term(0, 2, 2, 3, 1, 0), term(1, 4, -0.25, 5, 0, 1));
        assertArrayEquals(new double[] {2, -1}, sum.right().values(), 1e-15);
        assertArrayEquals(new double[] {2 * 3 + 1 * 5}, sum.left().values(), 1e-15);
    }

    @Test
    @DisplayName("one adapter of weight -1 is taken away, and not added")
    void negated() {
        Factors negated = combine(CombinationType.LINEAR, 1, MajoritySign.TOTAL, term(0, 1, -1, 3, 1, 2));
        assertArrayEquals(new double[] {-3, -6}, negated.delta().toTensor().values(), 1e-15);
    }

    @Test
    @DisplayName("cat and svd are the weighted sum, of the ranks' sum and of the largest rank")
    void exactSums() {
        Term[] terms = {term(0, 2, 0.5, 3, 1, 2), term(1, 1, 2, 1, 10, 20)};
        Factors cat = combine(CombinationType.CAT, 1, MajoritySign.TOTAL, terms);
        assertEquals(2, cat.rank());
        assertArrayEquals(new double[] {23, 46}, cat.delta().toTensor().values(), 1e-13);
        Factors svd = combine(CombinationType.SVD, 1, MajoritySign.TOTAL, terms);
        assertEquals(1, svd.rank());
        assertArrayEquals(new double[] {23, 46}, svd.delta().toTensor().values(), 1e-13);
    }

    @Test
    @DisplayName("pruning keeps the largest elements, rounding their number down, the first of equal ones")
    void magnitude() {
        Factors pruned = combine(
                CombinationType.MAGNITUDE_PRUNE, 0.5, MajoritySign.TOTAL, term(0, 1, 1, 1, -2, 1, 2, -1, 2, 0, 0));
        assertArrayEquals(new double[] {-2, 0, 2, 0, 2, 0, 0}, pruned.right().values());
        pruned = combine(CombinationType.MAGNITUDE_PRUNE, 0.5, MajoritySign.TOTAL, term(0, 1, 1, 1, 1, 3, -1, 1, 1));
        assertArrayEquals(new double[] {1, 3, 0, 0, 0}, pruned.right().values());
    }

    @Test
    @DisplayName("ties averages the elements of the elected sign: by their sum, or by their number")
    void elections() {
        Term[] terms = {term(0, 1, 1, 1, 5, 1, 0), term(1, 1, 1, 1, -1, 3, -2), term(2, 1, 1, 1, -2, -1, 0)};
        assertArrayEquals(
                new double[] {5, 2, -2},
                combine(CombinationType.TIES, 1, MajoritySign.TOTAL, terms)
                        .right()
                        .values());
        assertArrayEquals(
                new double[] {-1.5, 2, -2},
                combine(CombinationType.TIES, 1, MajoritySign.FREQUENCY, terms)
                        .right()
                        .values());
    }

    @Test
    @DisplayName("a tie of the votes goes to the positive sign, as PEFT has it")
    void drawnElection() {
        Term[] terms = {term(0, 1, 1, 1, 3), term(1, 1, 1, 1, -3)};
        assertArrayEquals(
                new double[] {3},
                combine(CombinationType.TIES, 1, MajoritySign.TOTAL, terms)
                        .right()
                        .values());
    }

    @Test
    @DisplayName("random pruning keeps its share, rescales what it keeps, and repeats with its seed")
    void masks() {
        double[] ones = new double[20_000];
        Arrays.fill(ones, 1);
        Factors first = combine(CombinationType.DARE_LINEAR, 0.25, MajoritySign.TOTAL, term(0, 1, 1, 1, ones));
        double kept = 0;
        for (double value : first.right().values()) {
            assertTrue(value == 0 || value == 4, () -> "found " + value);
            kept += value / 4;
        }
        // five standard deviations of a binomial of 20,000 at a quarter
        assertEquals(5000, kept, 5 * Math.sqrt(20_000 * 0.25 * 0.75));
        Factors again = combine(CombinationType.DARE_LINEAR, 0.25, MajoritySign.TOTAL, term(0, 1, 1, 1, ones));
        assertArrayEquals(first.right().values(), again.right().values());
        Factors other = combine(CombinationType.DARE_LINEAR, 0.25, MajoritySign.TOTAL, term(1, 1, 1, 1, ones));
        assertNotEquals(
                IntStream.range(0, 64)
                        .filter(i -> first.right().values()[i] == 0)
                        .boxed()
                        .toList(),
                IntStream.range(0, 64)
                        .filter(i -> other.right().values()[i] == 0)
                        .boxed()
                        .toList());
    }

    @Test
    @DisplayName("the mask's generator is SplitMix64: its published outputs for the seed 1234567")
    void splitMix() {
        Mask mask = new Mask(1234567, 0);
        long[] published = {6457827717110365317L, 3203168211198807973L, -8629252141511181193L};
        for (int i = 0; i < published.length; i++) {
            double fraction = (published[i] >>> 11) * 0x1p-53;
            assertTrue(new Mask(mask.start(), Math.nextUp(fraction)).keeps(i));
            assertTrue(!new Mask(mask.start(), fraction).keeps(i));
        }
    }
}
