package dev.adapt.formats.algebra;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("The float64 interpreter does what each operation's definition says")
class ReferenceOpsTest {
    private static final double EXACT = 0;
    private final ReferenceOps ops = new ReferenceOps();

    private static DoubleTensor tensor(Shape shape, double... values) {
        return new DoubleTensor(shape, values);
    }

    /** 0, 1, 2, … in a shape. */
    private static DoubleTensor counting(long... dims) {
        double[] values = new double[(int) Shape.of(dims).elements()];
        Arrays.setAll(values, i -> i);
        return new DoubleTensor(Shape.of(dims), values);
    }

    private static void assertIs(DoubleTensor actual, Shape shape, double tolerance, double... values) {
        assertEquals(shape, actual.shape());
        assertArrayEquals(values, actual.values(), tolerance);
    }

    @Test
    void linear() {
        DoubleTensor x = tensor(Shape.of(1, 2, 2), 1, 2, 3, 4);
        DoubleTensor weight = tensor(Shape.of(3, 2), 1, 0, 0, 1, 10, 100);
        DoubleTensor bias = tensor(Shape.of(3), 0.5, 0.25, 0);
        assertIs(ops.linear(x, weight, Optional.empty()), Shape.of(1, 2, 3), EXACT, 1, 2, 210, 3, 4, 430);
        assertIs(ops.linear(x, weight, Optional.of(bias)), Shape.of(1, 2, 3), EXACT, 1.5, 2.25, 210, 3.5, 4.25, 430);
    }

    @Test
    @DisplayName("also where a dimension is 0")
    void empty() {
        DoubleTensor none = counting(2, 0, 3);
        assertIs(ops.slice(none, 2, 1, 3), Shape.of(2, 0, 2), EXACT);
        assertIs(ops.slice(none, 1, 0, 0), Shape.of(2, 0, 3), EXACT);
        assertIs(ops.reshape(none, -1, 3), Shape.of(0, 3), EXACT);
        DoubleTensor one = counting(2, 1, 1);
        assertIs(ops.concat(2, List.of(counting(2, 1, 0), one)), Shape.of(2, 1, 1), EXACT, 0, 1);
        assertIs(ops.linear(counting(2, 0), counting(3, 0), Optional.empty()), Shape.of(2, 3), EXACT, 0, 0, 0, 0, 0, 0);
    }

    @ParameterizedTest(name = "{0} rows, {1} to {2}")
    @CsvSource({"1,1,1", "2,13,3", "13,1,207", "3,207,13", "7,5,4", "130,31,33"})
    void linearIsTheSumOfItsProductsInOrder(int rows, int in, int out) {
        Random random = new Random(rows * 1000 + in);
        DoubleTensor x = random(random, rows, in);
        DoubleTensor weight = random(random, out, in);
        DoubleTensor bias = random(random, out);
        double[] expected = new double[rows * out];
        for (int row = 0; row < rows; row++) {
            for (int o = 0; o < out; o++) {
                double sum = bias.values()[o];
                for (int i = 0; i < in; i++) {
                    sum += x.values()[row * in + i] * weight.values()[o * in + i];
                }
                expected[row * out + o] = sum;
            }
        }
        assertIs(ops.linear(x, weight, Optional.of(bias)), Shape.of(rows, out), EXACT, expected);
    }

    private static DoubleTensor random(Random random, long... dims) {
        return new DoubleTensor(
                Shape.of(dims), random.doubles(Shape.of(dims).elements(), -1, 1).toArray());
    }

    @Test
    void matMulBroadcastsLeadingAxes() {
        DoubleTensor left = tensor(Shape.of(2, 1, 1, 2), 1, 2, 3, 4);
        DoubleTensor right = tensor(Shape.of(2, 2, 1), 1, 10, 100, 1000);
        assertIs(ops.matMul(left, right), Shape.of(2, 2, 1, 1), EXACT, 21, 2100, 43, 4300);
        DoubleTensor square = tensor(Shape.of(2, 2), 1, 2, 3, 4);
        assertIs(ops.matMul(square, square), Shape.of(2, 2), EXACT, 7, 10, 15, 22);
    }

    @Test
    void transpose() {
        assertIs(ops.transpose(counting(2, 3), 1, 0), Shape.of(3, 2), EXACT, 0, 3, 1, 4, 2, 5);
        assertIs(
                ops.transpose(counting(2, 2, 3), 1, 2, 0),
                Shape.of(2, 3, 2),
                EXACT,
                // element [i, j, k] is element [k, i, j] of x, 6k + 3i + j
                0,
                6,
                1,
                7,
                2,
                8,
                3,
                9,
                4,
                10,
                5,
                11);
    }

    @Test
    void reshapeKeepsAndInfers() {
        DoubleTensor x = counting(2, 3, 4);
        assertEquals(Shape.of(2, 12), ops.reshape(x, 0, -1).shape());
        assertEquals(Shape.of(2, 3, 2, 2), ops.reshape(x, 0, 0, 2, 2).shape());
        assertEquals(Shape.of(2, 1, 1, 12), ops.reshape(x, 0, 1, 1, -1).shape());
        assertEquals(Shape.of(24), ops.reshape(x, -1).shape());
        assertArrayEquals(x.values(), ops.reshape(x, 4, 6).values());
        assertThrows(IllegalArgumentException.class, () -> ops.reshape(x, 5, 5));
        assertThrows(IllegalArgumentException.class, () -> ops.reshape(x, 5, -1));
    }

    @Test
    void slice() {
        assertIs(ops.slice(counting(3, 2), 0, 1, 3), Shape.of(2, 2), EXACT, 2, 3, 4, 5);
        assertIs(ops.slice(counting(2, 3), 1, 1, 2), Shape.of(2, 1), EXACT, 1, 4);
        assertIs(ops.slice(counting(2, 2, 2), 1, 0, 1), Shape.of(2, 1, 2), EXACT, 0, 1, 4, 5);
        assertIs(ops.slice(counting(2, 2), 0, 1, 1), Shape.of(0, 2), EXACT);
    }

    @Test
    void arithmeticBroadcastsAsNumPyDoes() {
        DoubleTensor column = tensor(Shape.of(2, 1), 10, 20);
        DoubleTensor row = tensor(Shape.of(3), 1, 2, 4);
        assertIs(ops.add(column, row), Shape.of(2, 3), EXACT, 11, 12, 14, 21, 22, 24);
        assertIs(ops.mul(column, row), Shape.of(2, 3), EXACT, 10, 20, 40, 20, 40, 80);
        assertIs(ops.div(column, row), Shape.of(2, 3), EXACT, 10, 5, 2.5, 20, 10, 5);
        assertIs(ops.add(row, tensor(Shape.of(1, 1, 1), 1)), Shape.of(1, 1, 3), EXACT, 2, 3, 5);
        assertThrows(IllegalArgumentException.class, () -> ops.add(row, tensor(Shape.of(2), 1, 2)));
    }

    @Test
    void affineAndSum() {
        assertIs(ops.affine(counting(3), 2, -1), Shape.of(3), EXACT, -1, 1, 3);
        assertIs(ops.sum(counting(2, 3), 1), Shape.of(2, 1), EXACT, 3, 12);
        assertIs(ops.sum(counting(2, 3), 0), Shape.of(1, 3), EXACT, 3, 5, 7);
    }

    @Test
    void softmaxStaysFiniteWhereExpWouldOverflow() {
        double e = Math.E;
        assertIs(
                ops.softmax(tensor(Shape.of(2, 2), 0, 1, 1000, 999)),
                Shape.of(2, 2),
                1e-16,
                1 / (1 + e),
                e / (1 + e),
                e / (1 + e),
                1 / (1 + e));
        // a masked score is the lowest float: it gets exactly nothing
        assertIs(ops.softmax(tensor(Shape.of(1, 2), 3, -Float.MAX_VALUE)), Shape.of(1, 2), EXACT, 1, 0);
    }

    /** Reference values by the Taylor series with 60 digits. */
    @ParameterizedTest
    @CsvSource({
        "0, 0",
        "0.0009765625, 0.0011019324300718147041",
        "0.5, 0.52049987781304653768",
        "1, 0.84270079294971486934",
        "1.75, 0.98667167121918244377",
        "2, 0.99532226501895273416",
        "2.4375, 0.99943345674541983509",
        "2.5, 0.99959304798255504106",
        "3, 0.99997790950300141456",
        "4.5, 0.99999999980338395585",
        "30, 1"
    })
    void erf(double x, double expected) {
        assertEquals(expected, ReferenceOps.erf(x), 1e-15 * expected);
        assertEquals(-expected, ReferenceOps.erf(-x), 1e-15 * expected);
    }

    @Test
    void activations() {
        DoubleTensor x = tensor(Shape.of(3), -1, 0, 2);
        // x·Φ(x), with Φ(-1) and Φ(2) to 17 digits
        assertIs(
                ops.activation(x, Activation.GELU),
                Shape.of(3),
                1e-15,
                -0.15865525393145705,
                0,
                2 * 0.9772498680518208);
        assertIs(
                ops.activation(x, Activation.GELU_TANH),
                Shape.of(3),
                1e-15,
                -0.5 * (1 - Math.tanh(Math.sqrt(2 / Math.PI) * 1.044715)),
                0,
                1 + Math.tanh(Math.sqrt(2 / Math.PI) * (2 + 0.35772)));
        assertIs(ops.activation(x, Activation.RELU), Shape.of(3), EXACT, 0, 0, 2);
        assertIs(ops.activation(x, Activation.SILU), Shape.of(3), 1e-15, -1 / (1 + Math.E), 0, 2 / (1 + Math.exp(-2)));
        assertIs(ops.activation(x, Activation.TANH), Shape.of(3), 1e-15, -Math.tanh(1), 0, Math.tanh(2));
    }

    @Test
    void layerNormUsesTheBiasedVariance() {
        // mean 2, biased variance 2: with epsilon 2 the standard deviation is 2
        DoubleTensor x = tensor(Shape.of(1, 2, 2), 2 - Math.sqrt(2), 2 + Math.sqrt(2), 7, 7);
        DoubleTensor weight = tensor(Shape.of(2), 1, 10);
        DoubleTensor bias = tensor(Shape.of(2), 0, 0.5);
        double half = Math.sqrt(2) / 2;
        assertIs(ops.layerNorm(x, weight, bias, 2), Shape.of(1, 2, 2), 1e-14, -half, 10 * half + 0.5, 0, 0.5);
    }

    @Test
    void rmsNormDividesByTheRootOfTheMeanSquare() {
        // mean squares 12.5 and 0: with epsilon 3.5 the roots are 4 and √3.5
        DoubleTensor x = tensor(Shape.of(1, 2, 2), 3, 4, 0, 0);
        assertIs(ops.rmsNorm(x, tensor(Shape.of(2), 1, 10), 3.5), Shape.of(1, 2, 2), 1e-15, 0.75, 10, 0, 0);
    }

    @Test
    void concatAndTail() {
        DoubleTensor x = counting(2, 2);
        DoubleTensor y = tensor(Shape.of(2, 1), 10, 20);
        assertIs(ops.concat(1, List.of(x, y, x)), Shape.of(2, 5), EXACT, 0, 1, 10, 0, 1, 2, 3, 20, 2, 3);
        assertIs(ops.concat(0, List.of(x, x)), Shape.of(4, 2), EXACT, 0, 1, 2, 3, 0, 1, 2, 3);
        assertIs(ops.tail(counting(2, 3), x), Shape.of(2, 2), EXACT, 1, 2, 4, 5);
        assertIs(ops.tail(counting(2, 3), y), Shape.of(2, 1), EXACT, 2, 5);
    }

    @Test
    void integers() {
        DoubleTensor x = tensor(Shape.of(2, 3), 1, 1, 0, 0, 1, 1);
        assertIs(ops.cumSum(x, 1), Shape.of(2, 3), EXACT, 1, 2, 2, 0, 1, 2);
        assertIs(ops.cumSum(x, 0), Shape.of(2, 3), EXACT, 1, 1, 0, 1, 2, 1);
        assertIs(ops.equal(x, ops.integer(1)), Shape.of(2, 3), EXACT, 1, 1, 0, 0, 1, 1);
        assertIs(ops.lessOrEqual(x, ops.integer(0)), Shape.of(2, 3), EXACT, 0, 0, 1, 1, 0, 0);
        assertIs(ops.not(x), Shape.of(2, 3), EXACT, 0, 0, 1, 1, 0, 0);
        assertIs(ops.negate(tensor(Shape.of(2), 2, -3)), Shape.of(2), EXACT, -2, 3);
        assertIs(
                ops.attentionBias(tensor(Shape.of(2), 1, 0)),
                Shape.of(2),
                EXACT,
                // 1 hides nothing
                0,
                -Float.MAX_VALUE);
    }

    @Test
    void anglesAreProductsInFloat32() {
        FloatTensor frequencies = new FloatTensor(Shape.of(2), new float[] {1, 0.1f});
        DoubleTensor positions = tensor(Shape.of(1, 2), 0, 1_000_003);
        DoubleTensor angles = ops.angles(positions, frequencies);
        assertIs(angles, Shape.of(1, 2, 2), EXACT, 0, 0, 1_000_003, 1_000_003 * 0.1f);
        assertIs(ops.cos(tensor(Shape.of(2), 0, Math.PI)), Shape.of(2), EXACT, 1, -1);
        assertIs(ops.sin(tensor(Shape.of(2), 0, Math.PI / 2)), Shape.of(2), EXACT, 0, 1);
    }

    @Test
    void rotaryTurnsPairsHalfAHeadApart() {
        DoubleTensor x = tensor(Shape.of(1, 1, 1, 4), 1, 2, 3, 4);
        // the first pair (1, 3) by a right angle, the second (2, 4) not at all
        DoubleTensor cos = tensor(Shape.of(1, 1, 1, 2), 0, 1);
        DoubleTensor sin = tensor(Shape.of(1, 1, 1, 2), 1, 0);
        assertIs(ops.rotary(x, cos, sin, 4), Shape.of(1, 1, 1, 4), EXACT, -3, 2, 1, 4);
    }

    @Test
    void embeddingPositionsAndConstants() {
        DoubleTensor ids = DoubleTensor.of(new LongTensor(Shape.of(1, 3), new long[] {2, 0, 2}));
        assertIs(ops.embedding(counting(3, 2), ids), Shape.of(1, 3, 2), EXACT, 4, 5, 0, 1, 4, 5);
        assertIs(ops.positions(ids), Shape.of(1, 3), EXACT, 0, 1, 2);
        assertIs(ops.toFloat(ids), Shape.of(1, 3), EXACT, 2, 0, 2);
        assertIs(ops.constant(new FloatTensor(Shape.of(1), new float[] {0.5f})), Shape.of(1), EXACT, 0.5);
    }

    @Test
    void attentionIsTheSoftmaxOfScaledScoresTimesValues() {
        DoubleTensor query = tensor(Shape.of(1, 1, 1, 2), 1, 1);
        DoubleTensor key = tensor(Shape.of(1, 1, 3, 2), 1, 1, 0, 0, 50, 50);
        DoubleTensor value = tensor(Shape.of(1, 1, 3, 1), 1, 2, 1000);
        DoubleTensor bias = tensor(Shape.of(1, 1, 1, 3), 0, 0, -Float.MAX_VALUE);
        // scores 2·0.5 and 0·0.5; the third key is masked
        double e = Math.E;
        assertIs(
                ops.attention(query, key, value, Optional.of(bias), 0.5, 0.1),
                Shape.of(1, 1, 1, 1),
                1e-15,
                (e + 2) / (e + 1));
    }
}
