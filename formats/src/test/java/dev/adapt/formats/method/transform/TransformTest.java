package dev.adapt.formats.method.transform;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.algebra.Region;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

/** Changes that PEFT's cases do not reach, against their definitions written out with whole matrices. */
@DisplayName("A transformed weight is what the method's equation says")
class TransformTest {
    private static final int OUT = 12;
    private static final int IN = 16;

    private final ReferenceOps ops = new ReferenceOps();
    private final Random random = new Random(3);
    private final Map<String, DoubleTensor> parts = new HashMap<>();

    @Test
    @DisplayName("BOFT with three butterfly factors")
    void butterflies() {
        Target target = linear();
        WeightChange<DoubleTensor> change = change(new Boft(2, 0, 3), target);
        double[][] r = matrix(parts.get("boft_R"), 3 * 8 * 2, 2);
        double[][] rotation = identity(IN);
        for (int factor = 0; factor < 3; factor++) {
            double[][] blocks = new double[IN][IN];
            for (int block = 0; block < 8; block++) {
                int at = (factor * 8 + block) * 2;
                // (I - Q)·(I + Q)⁻¹ for Q = [[0, t], [-t, 0]] is a rotation by twice the arctangent of t
                double angle = 2 * Math.atan((r[at][1] - r[at + 1][0]) / 2);
                blocks[2 * block][2 * block] = Math.cos(angle);
                blocks[2 * block][2 * block + 1] = -Math.sin(angle);
                blocks[2 * block + 1][2 * block] = Math.sin(angle);
                blocks[2 * block + 1][2 * block + 1] = Math.cos(angle);
            }
            double[][] order = order(factor);
            rotation = times(times(times(order, blocks), transposed(order)), rotation);
        }
        double[][] w = random(OUT, IN);
        double[][] expected = times(w, transposed(rotation));
        for (int row = 0; row < OUT; row++) {
            for (int column = 0; column < IN; column++) {
                expected[row][column] *= parts.get("boft_s").values()[row];
            }
        }
        assertChanged(expected, change, w, Region.of(OUT, IN));
    }

    /** Half blocks, here single inputs, of each run of 2ᶠ blocks: those of even places first. */
    private static double[][] order(int factor) {
        int run = 2 << factor;
        double[][] order = new double[IN][IN];
        for (int start = 0; start < IN; start += run) {
            for (int i = 0; i < run / 2; i++) {
                order[start + i][start + 2 * i] = 1;
                order[start + run / 2 + i][start + 2 * i + 1] = 1;
            }
        }
        return order;
    }

    @Test
    @DisplayName("HRA, reflection after reflection")
    void reflections() {
        WeightChange<DoubleTensor> change = change(new Hra(5, false), linear());
        double[][] u = matrix(parts.get("hra_u"), IN, 5);
        double[][] w = random(OUT, IN);
        double[][] expected = w;
        for (int i = 0; i < 5; i++) {
            expected = times(expected, reflection(column(u, i)));
        }
        assertChanged(expected, change, w, Region.of(OUT, IN));
    }

    @Test
    @DisplayName("HRA of orthonormal columns: one reflection commutes with the next")
    void orthonormalReflections() {
        WeightChange<DoubleTensor> change = change(new Hra(3, true), linear());
        double[][] u = matrix(parts.get("hra_u"), IN, 3);
        double[][] w = random(OUT, IN);
        double[][] expected = w;
        double[][] before = new double[3][];
        for (int i = 0; i < 3; i++) {
            double[] own = column(u, i);
            for (int j = 0; j < i; j++) {
                double dot = dot(own, before[j]);
                for (int k = 0; k < IN; k++) {
                    own[k] -= dot * before[j][k];
                }
            }
            double length = Math.sqrt(dot(own, own));
            for (int k = 0; k < IN; k++) {
                own[k] /= length;
            }
            before[i] = own;
            expected = times(expected, reflection(own));
        }
        assertChanged(expected, change, w, Region.of(OUT, IN));
    }

    @Test
    @DisplayName("RoAd turns each pair of outputs, and the bias with them")
    void pairs() {
        for (Road.Variant variant : Road.Variant.values()) {
            WeightChange<DoubleTensor> change = change(new Road(variant, 4), linear());
            double[] theta = parts.get("road_theta").values();
            double[] alpha = parts.get("road_alpha").values();
            double[][] r = new double[OUT][OUT];
            for (int pair = 0; pair < OUT / 2; pair++) {
                int group = pair / 2;
                int first = group * 4 + pair % 2;
                for (int side = 0; side < 2; side++) {
                    int output = first + 2 * side;
                    int own = switch (variant) {
                        case ROAD_1 -> pair;
                        case ROAD_2 -> output;
                        case ROAD_4 -> group * 8 + output % 4;
                    };
                    int other = variant == Road.Variant.ROAD_4 ? own + 4 : own;
                    r[output][output] = alpha[own] * Math.cos(theta[own]);
                    r[output][first + 2 - 2 * side] = (side == 0 ? -1 : 1) * alpha[other] * Math.sin(theta[other]);
                }
            }
            double[][] w = random(OUT, IN);
            assertChanged(times(r, w), change, w, Region.of(OUT, IN));
            double[][] bias = random(OUT, 1);
            DoubleTensor old = new DoubleTensor(Shape.of(OUT), flat(bias));
            assertArrayEquals(
                    flat(times(r, bias)),
                    change.biasOf(Optional.of(old)).orElseThrow().values(),
                    1e-12);
            assertEquals(Optional.empty(), change.biasOf(Optional.empty()));
        }
    }

    @Test
    @DisplayName("Bat gives any blocks, which are its scope, the same as all")
    void rowsOfSquares() {
        WeightChange<DoubleTensor> change = change(new Miss(4, Miss.Variant.BAT, 1, 0), linear());
        double[][] blocks = matrix(parts.get("miss_block"), OUT, 4);
        double[][] w = random(OUT, IN);
        double[][] expected = new double[OUT][IN];
        for (int row = 0; row < OUT; row++) {
            for (int column = 0; column < IN; column++) {
                int start = row / 4 * 4;
                expected[row][column] = w[row][column] + blocks[row][column % 4];
                for (int k = 0; k < 4; k++) {
                    expected[row][column] += w[row][column / 4 * 4 + k] * blocks[start + k][column % 4];
                }
            }
        }
        for (int row = 0; row < OUT; row += 4) {
            for (int rows = 4; row + rows <= OUT; rows += 4) {
                assertChanged(expected, change, w, new Region(row, rows, 0, IN));
            }
        }
    }

    @Test
    @DisplayName("MiSS shares its block among runs of inputs, the last of which may be cut, and mini among outputs")
    void runs() {
        for (Miss method : List.of(new Miss(5, Miss.Variant.BALANCED, 1, 0), new Miss(5, Miss.Variant.MINI, 3, 0))) {
            WeightChange<DoubleTensor> change = change(method, linear());
            int stored = method.variant() == Miss.Variant.MINI ? 3 : OUT;
            double[][] block = matrix(parts.get("miss_block"), 5, stored);
            double[][] w = random(OUT, IN);
            double[][] expected = new double[OUT][IN];
            for (int row = 0; row < OUT; row++) {
                for (int column = 0; column < IN; column++) {
                    expected[row][column] = w[row][column] + block[column % 5][row % stored];
                }
            }
            assertChanged(expected, change, w, Region.of(OUT, IN));
        }
    }

    @Test
    @DisplayName("OFT of an embedding rotates its rows")
    void embeddings() {
        Target target = new Target("embed", "embed", "embed.weight", 4, 6, new Storage.Embedding());
        WeightChange<DoubleTensor> change = change(new Oft(0, 2, false, 0, false, 0), target);
        double[] q = parts.get("oft_embedding_R.weight").values();
        double[][] rotation = new double[4][4];
        for (int block = 0; block < 2; block++) {
            double angle = 2 * Math.atan(q[block]);
            rotation[2 * block][2 * block] = Math.cos(angle);
            rotation[2 * block][2 * block + 1] = -Math.sin(angle);
            rotation[2 * block + 1][2 * block] = Math.sin(angle);
            rotation[2 * block + 1][2 * block + 1] = Math.cos(angle);
        }
        double[][] table = random(6, 4);
        double[][] expected = transposed(times(table, rotation));
        assertChanged(expected, change, transposed(table), Region.of(4, 6));
    }

    private static Target linear() {
        return new Target("m", "m", "m.weight", OUT, IN, false);
    }

    private WeightChange<DoubleTensor> change(AdapterMethod method, Target target) {
        parts.clear();
        for (Part part : method.parts(target, List.of(target))) {
            double[] values = random.doubles(part.shape().elements(), -1, 1).toArray();
            parts.put(part.name(), new DoubleTensor(part.shape(), values));
        }
        return method.change(ops, target, parts::get, () -> {
            throw new AssertionError("no change here starts from the weight");
        });
    }

    private void assertChanged(double[][] expected, WeightChange<DoubleTensor> change, double[][] w, Region region) {
        DoubleTensor weight = new DoubleTensor(Shape.of(w.length, w[0].length), flat(w));
        DoubleTensor all = new DoubleTensor(weight.shape(), flat(expected));
        assertArrayEquals(
                region.of(ops, all).values(),
                change.changed(ops, region.of(ops, weight), region).values(),
                1e-12);
    }

    private double[][] random(int rows, int columns) {
        double[][] matrix = new double[rows][];
        for (int row = 0; row < rows; row++) {
            matrix[row] = random.doubles(columns, -1, 1).toArray();
        }
        return matrix;
    }

    private static double[][] matrix(DoubleTensor tensor, int rows, int columns) {
        double[][] matrix = new double[rows][columns];
        for (int i = 0; i < rows * columns; i++) {
            matrix[i / columns][i % columns] = tensor.values()[i];
        }
        return matrix;
    }

    private static double[] flat(double[][] matrix) {
        double[] values = new double[matrix.length * matrix[0].length];
        for (int i = 0; i < values.length; i++) {
            values[i] = matrix[i / matrix[0].length][i % matrix[0].length];
        }
        return values;
    }

    private static double[][] identity(int n) {
        double[][] identity = new double[n][n];
        for (int i = 0; i < n; i++) {
            identity[i][i] = 1;
        }
        return identity;
    }

    private static double[][] reflection(double[] u) {
        double[][] reflection = identity(u.length);
        for (int i = 0; i < u.length; i++) {
            for (int j = 0; j < u.length; j++) {
                reflection[i][j] -= 2 * u[i] * u[j] / dot(u, u);
            }
        }
        return reflection;
    }

    private static double[] column(double[][] matrix, int column) {
        double[] values = new double[matrix.length];
        for (int row = 0; row < values.length; row++) {
            values[row] = matrix[row][column];
        }
        return values;
    }

    private static double dot(double[] left, double[] right) {
        double sum = 0;
        for (int i = 0; i < left.length; i++) {
            sum += left[i] * right[i];
        }
        return sum;
    }

    private static double[][] times(double[][] left, double[][] right) {
        double[][] product = new double[left.length][right[0].length];
        for (int row = 0; row < left.length; row++) {
            for (int column = 0; column < right[0].length; column++) {
                product[row][column] = dot(left[row], column(right, column));
            }
        }
        return product;
    }

    private static double[][] transposed(double[][] matrix) {
        double[][] turned = new double[matrix[0].length][];
        for (int i = 0; i < turned.length; i++) {
            turned[i] = column(matrix, i);
        }
        return turned;
    }
}
