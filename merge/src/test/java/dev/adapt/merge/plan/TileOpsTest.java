package dev.adapt.merge.plan;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.adapt.formats.algebra.Frequencies;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.algebra.Region;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.merge.kernel.Kernels;
import dev.adapt.merge.kernel.ScalarKernels;
import dev.adapt.merge.kernel.Scratch;
import dev.adapt.merge.kernel.VectorKernels;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("The interpreter for tiles")
class TileOpsTest {
    private static final List<Kernels> BOTH = List.of(new ScalarKernels(), new VectorKernels());

    /** What is computed of two tensors. */
    private interface Sequence {
        <T> T of(MatrixOps<T> ops, T x, T y);
    }

    private static void agrees(Shape x, Shape y, Sequence sequence) {
        FloatTensor left = values(1, x);
        FloatTensor right = values(2, y);
        DoubleTensor expected = sequence.of(new ReferenceOps(), DoubleTensor.of(left), DoubleTensor.of(right));
        List<float[]> results = BOTH.stream()
                .map(kernels -> {
                    Tensor result = sequence.of(new TileOps(kernels, new Held(), new Scratch()), left, right);
                    assertEquals(expected.shape(), result.shape());
                    return result.toFloats();
                })
                .toList();
        assertArrayEquals(results.get(0), results.get(1), "scalar and vector");
        assertArrayEquals(expected.toFloats(), results.get(1), 1e-5f);
    }

    private static FloatTensor values(long seed, Shape shape) {
        Random random = new Random(seed);
        float[] values = new float[Math.toIntExact(shape.elements())];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return new FloatTensor(shape, values);
    }

    @Test
    @DisplayName("blocks of each row times matrices of their own, and back")
    void blocksOfRows() {
        agrees(Shape.of(5, 12 * 37), Shape.of(12, 37, 37), new Sequence() {
            @Override
            public <T> T of(MatrixOps<T> ops, T x, T y) {
                T byBlock = ops.transpose(ops.reshape(x, 5, 12, 37), 1, 0, 2);
                return ops.reshape(ops.transpose(ops.matMul(byBlock, y), 1, 0, 2), 5, -1);
            }
        });
    }

    @ParameterizedTest(name = "{0} of {1}")
    @CsvSource({"512, 4", "64, 8", "6, 5", "1, 3", "7, 2", "4, 40"})
    @DisplayName("a product with blocks on a diagonal, which are joined where they are small")
    void blocksOnDiagonal(int count, int n) {
        agrees(Shape.of(5, (long) count * n), Shape.of(count, n, n), new Sequence() {
            @Override
            public <T> T of(MatrixOps<T> ops, T x, T y) {
                return ops.matMulBlocks(x, ops.transpose(y, 0, 2, 1), 5, count, n);
            }
        });
    }

    @ParameterizedTest(name = "{0} rows of {1}")
    @CsvSource({"64, 4", "24, 3", "7, 5", "16, 40"})
    @DisplayName("rows so short that several are one row of a product")
    void shortRows(int rows, int n) {
        agrees(Shape.of(2, rows, n), Shape.of(2, n, n), new Sequence() {
            @Override
            public <T> T of(MatrixOps<T> ops, T x, T y) {
                return ops.matMul(x, y);
            }
        });
    }

    @ParameterizedTest(name = "{0} by {1}")
    @CsvSource({"1, 1", "4, 8", "70, 60", "33, 154", "5, 254", "64, 131", "6, 262", "40, 512"})
    @DisplayName("a Fourier transform of a sparse spectrum, and each part of it alone")
    void inverseFourier(int rows, int columns) {
        int count = Math.min(rows * columns, 9);
        Random random = new Random(rows);
        int[] rowAt = random.ints(count, 0, rows).toArray();
        int[] columnAt = random.ints(count, 0, columns).toArray();
        Frequencies at = new Frequencies(rowAt, columnAt, rows, columns);
        FloatTensor values = values(5, Shape.of(count));
        Region all = Region.of(rows, columns);
        double[] expected = new ReferenceOps()
                .affine(new ReferenceOps().inverseFourier(DoubleTensor.of(values), at, all), (double) rows * columns, 0)
                .values();
        List<float[]> results = BOTH.stream()
                .map(kernels -> new TileOps(kernels, new Held(), new Scratch())
                        .inverseFourier(values, at, all)
                        .toFloats())
                .toList();
        assertArrayEquals(results.get(0), results.get(1), "scalar and vector");
        for (int i = 0; i < expected.length; i++) {
            assertEquals(expected[i], results.get(1)[i] * (double) rows * columns, 2e-5);
        }
        TileOps ops = new TileOps(BOTH.get(1), new Held(), new Scratch());
        for (int row = 0; row < rows; row += 3) {
            Region some = new Region(row, Math.min(3, rows - row), 0, columns);
            float[] own = Arrays.copyOfRange(results.get(1), row * columns, some.rowEnd() * columns);
            assertArrayEquals(own, ops.inverseFourier(values, at, some).toFloats());
        }
        for (int column = 0; column + 1 < columns; column += 5) {
            Region some = new Region(0, rows, column, 1);
            float[] own = ops.inverseFourier(values, at, some).toFloats();
            for (int row = 0; row < rows; row++) {
                assertEquals(expected[row * columns + column], own[row] * (double) rows * columns, 2e-5);
            }
        }
    }

    @Test
    @DisplayName("a product of transposed and sliced matrices")
    void transposedProduct() {
        agrees(Shape.of(40, 9), Shape.of(75, 40), new Sequence() {
            @Override
            public <T> T of(MatrixOps<T> ops, T x, T y) {
                T product = ops.matMul(ops.transpose(x, 1, 0), ops.transpose(ops.slice(y, 0, 3, 70), 1, 0));
                return ops.add(product, ops.slice(ops.slice(product, 0, 2, 3), 1, 4, 5));
            }
        });
    }

    @Test
    @DisplayName("an outer product of blocks, reshaped to a matrix")
    void kroneckerProduct() {
        agrees(Shape.of(6, 35), Shape.of(4, 7), new Sequence() {
            @Override
            public <T> T of(MatrixOps<T> ops, T x, T y) {
                T product = ops.mul(ops.reshape(y, 4, 1, 7, 1), ops.reshape(x, 1, 6, 1, 35));
                T matrix = ops.reshape(product, 24, 245);
                return ops.div(matrix, ops.affine(ops.slice(matrix, 1, 0, 1), 0, 3));
            }
        });
    }

    @Test
    @DisplayName("one row times many rows, and columns joined to them")
    void joined() {
        agrees(Shape.of(3, 50), Shape.of(50), new Sequence() {
            @Override
            public <T> T of(MatrixOps<T> ops, T x, T y) {
                T row = ops.reshape(y, 1, -1);
                T products = ops.mul(row, x);
                T reversed = ops.div(row, ops.affine(ops.mul(x, x), 1, 1));
                T columns = ops.concat(1, List.of(products, ops.slice(x, 1, 10, 20), reversed));
                return ops.add(columns, ops.reshape(ops.slice(y, 0, 0, 3), 3, 1));
            }
        });
    }

    @Test
    @DisplayName("halves that change places, in groups of rows and of columns")
    void exchanged() {
        agrees(Shape.of(8, 24), Shape.of(2, 1, 2, 1), new Sequence() {
            @Override
            public <T> T of(MatrixOps<T> ops, T x, T y) {
                T pairs = ops.reshape(x, 2, 2, 2, 24);
                T turned = ops.concat(1, List.of(ops.slice(pairs, 1, 1, 2), ops.slice(pairs, 1, 0, 1)));
                T rows = ops.reshape(ops.mul(turned, y), 8, 24);
                return ops.reshape(ops.transpose(ops.reshape(rows, 8, 3, 2, 2, 2), 0, 1, 3, 2, 4), 8, 24);
            }
        });
    }

    @Test
    @DisplayName("values that are scattered into a region, where another block was before")
    void scattered() {
        FloatTensor values = values(3, Shape.of(4));
        FloatTensor places = new FloatTensor(Shape.of(2, 4), new float[] {0, 2, 2, 7, 1, 3, 3, 0});
        Scratch scratch = new Scratch();
        for (Kernels kernels : BOTH) {
            TileOps ops = new TileOps(kernels, new Held(), scratch);
            scratch.reset();
            ops.affine(values(4, Shape.of(3, 4)), 1, 0);
            scratch.reset();
            float[] region = ops.scatter(values, places, new Region(1, 3, 1, 4)).toFloats();
            float[] expected = new float[12];
            expected[4 + 2] = values.values()[1] + values.values()[2];
            assertArrayEquals(expected, region);
        }
    }
}
