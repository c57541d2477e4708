package dev.adapt.formats.method.lowrank;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.algebra.Region;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.lowrank.Adamss.Segment;
import dev.adapt.formats.method.random.NumpyChoice;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Svd;
import dev.adapt.formats.tensor.Tensor;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("AdaMSS: clusters, and a bias that is a column of the weight")
class AdamssTest {
    private static final int OUT = 24;
    private static final int IN = 6;

    @Test
    @DisplayName("indices are those of numpy.random.RandomState(123456789).choice")
    void choice() {
        assertArrayEquals(new int[] {17, 15}, NumpyChoice.of(32, 2, 123456789));
        assertArrayEquals(new int[] {10, 14, 4}, NumpyChoice.of(20, 3, 123456789));
        assertArrayEquals(new int[] {3, 4, 1, 5, 6, 0, 2}, NumpyChoice.of(7, 7, 123456789));
        assertArrayEquals(new int[] {53, 50, 71, 25, 75, 88, 15, 67, 63}, NumpyChoice.of(100, 9, 123456789));
    }

    @Test
    @DisplayName("labels are those of a k-means written in NumPy")
    void clusters() {
        double[] values = new double[24 * 4];
        for (int i = 0; i < 24; i++) {
            for (int j = 0; j < 4; j++) {
                values[i * 4 + j] = Math.sin(1.3 * i + 0.7 * j * j + 0.2 * i * j);
            }
        }
        DoubleTensor points = new DoubleTensor(Shape.of(24, 4), values);
        assertArrayEquals(
                new int[] {1, 2, 0, 0, 1, 2, 0, 1, 2, 2, 1, 1, 0, 2, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0},
                KMeans.labels(points, 3, 10, 123456789));
        assertArrayEquals(
                new int[] {3, 1, 2, 3, 1, 1, 2, 4, 1, 0, 4, 4, 0, 3, 3, 2, 2, 1, 3, 0, 2, 4, 3, 0},
                KMeans.labels(points, 5, 10, 123456789));
    }

    @Test
    @DisplayName("the change of the bias is the last column of B·A·V, and segments of other sizes are refused")
    void bias() {
        Random random = new Random(5);
        FloatTensor weight = drawn(random, OUT, IN);
        FloatTensor bias = new FloatTensor(Shape.of(OUT), drawn(random, OUT, 1).values());
        // singular vectors of the weight with its bias
        double[] joined = new double[OUT * (IN + 1)];
        for (int row = 0; row < OUT; row++) {
            for (int column = 0; column < IN; column++) {
                joined[row * (IN + 1) + column] = weight.values()[row * IN + column];
            }
            joined[row * (IN + 1) + IN] = bias.values()[row];
        }
        Svd svd = Svd.of(new DoubleTensor(Shape.of(OUT, IN + 1), joined));
        int[] labels = KMeans.labels(svd.leftColumns(0, 3, 0), 2, 10, 123456789);
        int first = (int) IntStream.of(labels).filter(label -> label == 0).count();
        List<Segment> segments = List.of(new Segment(first, 2), new Segment(OUT - first, 1));
        Target target = new Target("q", "q", "q.weight", OUT, IN, false);
        DoubleTensor v = svd.rightRows(0, 3, 0);
        Map<String, Tensor> tensors = new HashMap<>(Map.of(
                "adamss_A.0", drawn(random, 2, 3),
                "adamss_A.1", drawn(random, 1, 3),
                "adamss_B.0", drawn(random, first, 2),
                "adamss_B.1", drawn(random, OUT - first, 1),
                "adamss_newB", v));
        Adamss method = new Adamss(3, 2, 2, Optional.empty(), Map.of("q", segments));
        Part last = method.parts(target, List.of(target)).getLast();
        Initial.OfBase places = (Initial.OfBase) last.initial();
        tensors.put(
                last.name(),
                places.derivation()
                        .of(name -> part(tensors, name), weight, Optional.of(bias))
                        .orElseThrow());

        ReferenceOps ops = new ReferenceOps();
        WeightChange<DoubleTensor> change =
                method.change(ops, target, name -> DoubleTensor.of(part(tensors, name)), () -> DoubleTensor.of(weight));
        DoubleTensor changed = change.changed(ops, DoubleTensor.of(weight), Region.of(OUT, IN));
        DoubleTensor changedBias =
                change.biasOf(Optional.of(DoubleTensor.of(bias))).orElseThrow();
        int[] next = new int[2];
        for (int row = 0; row < OUT; row++) {
            int segment = labels[row];
            int own = next[segment]++;
            for (int column = 0; column <= IN; column++) {
                double sum = joined[row * (IN + 1) + column];
                for (int k = 0; k < segments.get(segment).rank(); k++) {
                    for (int vector = 0; vector < 3; vector++) {
                        sum += at(tensors, "adamss_B." + segment, own, k)
                                * at(tensors, "adamss_A." + segment, k, vector)
                                * v.values()[vector * (IN + 1) + column];
                    }
                }
                double found = column < IN
                        ? changed.values()[row * IN + column]
                        : changedBias.values()[row];
                assertEquals(sum, found, 1e-12);
            }
        }

        Adamss other = new Adamss(
                3,
                2,
                2,
                Optional.empty(),
                Map.of("q", List.of(new Segment(first - 1, 2), new Segment(OUT - first + 1, 1))));
        Initial.OfBase none =
                (Initial.OfBase) other.parts(target, List.of(target)).getLast().initial();
        assertTrue(none.derivation()
                .of(name -> part(tensors, name), weight, Optional.of(bias))
                .isEmpty());
    }

    private static Tensor part(Map<String, Tensor> tensors, String name) {
        return Objects.requireNonNull(tensors.get(name));
    }

    private static double at(Map<String, Tensor> tensors, String name, int row, int column) {
        Tensor matrix = part(tensors, name);
        return matrix.toFloats()[row * (int) matrix.shape().dim(1) + column];
    }

    private static FloatTensor drawn(Random random, int rows, int columns) {
        float[] values = new float[rows * columns];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return new FloatTensor(Shape.of(rows, columns), values);
    }
}
