package dev.adapt.merge.lowrank;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.Arrays;
import java.util.Random;
import org.ejml.data.DMatrixRMaj;
import org.ejml.dense.row.CommonOps_DDRM;
import org.ejml.dense.row.SingularOps_DDRM;
import org.ejml.dense.row.factory.DecompositionFactory_DDRM;
import org.ejml.interfaces.decomposition.QRDecomposition;
import org.ejml.interfaces.decomposition.SingularValueDecomposition_F64;

/**
 * A thin singular value decomposition {@code M = U·diag(s)·Vᵀ}, in float64.
 *
 * @param left U, [rows, k]: orthonormal columns
 * @param values s, [k]: none negative, largest first
 * @param right Vᵀ, [k, columns]: orthonormal rows
 */
@SuppressWarnings("ArrayRecordComponent")
public record Svd(DoubleTensor left, double[] values, DoubleTensor right) {
    /** The shorter side of the largest matrix that is decomposed whole. */
    private static final int EXACT = 512;

    /** Directions sampled beyond the rank that is asked for (Halko et al. advise 5 to 10). */
    private static final int OVERSAMPLING = 10;

    /** Power iterations: with two, what lies beyond the rank weighs by its fifth power, and noise does not blur the basis. */
    private static final int POWER_ITERATIONS = 2;

    /**
     * The decomposition of a matrix in memory, to float64's precision.
     *
     * @throws ArithmeticException if an element is not finite
     */
    public static Svd of(DoubleTensor matrix) {
        return of(wrap(matrix));
    }

    private static Svd of(DMatrixRMaj matrix) {
        for (double value : matrix.data) {
            if (!Double.isFinite(value)) {
                throw new ArithmeticException("a matrix that holds " + value + " has no singular values");
            }
        }
        SingularValueDecomposition_F64<DMatrixRMaj> svd =
                DecompositionFactory_DDRM.svd(matrix.numRows, matrix.numCols, true, true, true);
        if (!svd.decompose(matrix.copy())) {
            throw new ArithmeticException("the singular values of a matrix of " + matrix.numRows + " by "
                    + matrix.numCols + " did not converge");
        }
        int k = Math.min(matrix.numRows, matrix.numCols);
        DMatrixRMaj u = svd.getU(null, false);
        DMatrixRMaj vt = svd.getV(null, true);
        double[] s = Arrays.copyOf(svd.getSingularValues(), k);
        SingularOps_DDRM.descendingOrder(u, false, s, k, vt, true);
        return new Svd(tensor(columns(u, k)), s, tensor(rows(vt, k)));
    }

    /**
     * The decomposition of a product {@code left·right}, which is never formed: with {@code left = Q₁·T₁} and
     * {@code rightᵀ = Q₂·T₂} it is that of the small {@code T₁·T₂ᵀ}, turned by Q₁ and Q₂.
     *
     * @param left [rows, k]
     * @param right [k, columns]
     */
    public static Svd ofProduct(DoubleTensor left, DoubleTensor right) {
        DMatrixRMaj transposed = CommonOps_DDRM.transpose(wrap(right), null);
        Qr first = Qr.of(wrap(left));
        Qr second = Qr.of(transposed);
        DMatrixRMaj core = new DMatrixRMaj(first.upper().numRows, second.upper().numRows);
        CommonOps_DDRM.multTransB(first.upper(), second.upper(), core);
        Svd small = of(core);
        return new Svd(
                tensor(times(first.basis(), wrap(small.left))),
                small.values,
                tensor(timesTransposed(wrap(small.right), second.basis())));
    }

    /**
     * The leading part of the decomposition of a matrix that is read a few times and never held: randomised subspace
     * iteration (Halko, Martinsson and Tropp, arXiv 0909.4061, algorithms 4.4 and 5.1) from Gaussian directions that
     * {@link Random} draws from the seed. Exact up to rounding where the matrix has no more than that rank.
     *
     * @param rank how many singular values to find; fewer come back where the matrix has fewer rows or columns
     */
    static Svd randomised(Rows matrix, int rank, long seed) {
        int k = Math.min(rank + OVERSAMPLING, Math.min(matrix.rows(), matrix.columns()));
        Random random = new Random(seed);
        double[] directions = new double[Math.multiplyExact(matrix.columns(), k)];
        Arrays.setAll(directions, i -> random.nextGaussian());
        DoubleTensor start = new DoubleTensor(Shape.of(matrix.columns(), k), directions);
        DMatrixRMaj basis = Qr.of(wrap(matrix.times(start))).basis();
        for (int i = 0; i < POWER_ITERATIONS; i++) {
            DMatrixRMaj across =
                    Qr.of(wrap(matrix.transposeTimes(tensor(basis)))).basis();
            basis = Qr.of(wrap(matrix.times(tensor(across)))).basis();
        }
        Qr projected = Qr.of(wrap(matrix.transposeTimes(tensor(basis))));
        Svd small = of(CommonOps_DDRM.transpose(projected.upper(), null));
        return new Svd(
                        tensor(times(basis, wrap(small.left))),
                        small.values,
                        tensor(timesTransposed(wrap(small.right), projected.basis())))
                .truncated(rank);
    }

    /**
     * The leading part of a matrix: cut from the whole decomposition where the shorter side has at most {@value #EXACT}
     * elements, else found by {@link #randomised}.
     */
    public static Svd leading(Rows matrix, int rank) {
        return Math.min(matrix.rows(), matrix.columns()) <= EXACT
                ? of(matrix.toTensor()).truncated(rank)
                : randomised(matrix, rank, 0);
    }

    /** The number of singular values it holds. */
    public int rank() {
        return values.length;
    }

    /** Its largest singular values, all of them where it has fewer. */
    public Svd truncated(int rank) {
        int k = Math.min(rank, values.length);
        return new Svd(tensor(columns(wrap(left), k)), Arrays.copyOf(values, k), tensor(rows(wrap(right), k)));
    }

    /**
     * How many singular values hold a share of the whole.
     *
     * @param share of {@code whole}, more than 0 and at most 1
     * @param whole the sum of all squared singular values, {@code ‖M‖²}
     * @return at least 1; more than {@link #rank} where even all of them hold less
     */
    int rankOf(double share, double whole) {
        double held = 0;
        for (int k = 0; k < values.length; k++) {
            // rounding must not ask for a direction that holds nothing
            if (k > 0 && (held >= share * whole || values[k] <= values[0] * values.length * Math.ulp(1.0))) {
                return k;
            }
            held += values[k] * values[k];
        }
        return held >= share * whole * (1 - 1e-12) ? Math.max(1, values.length) : values.length + 1;
    }

    /** The sum of the squared singular values. */
    public double squaredNorm() {
        return Arrays.stream(values).map(value -> value * value).sum();
    }

    /** {@code U·diag(s)} and {@code Vᵀ}. */
    public Factors factors() {
        return scaled(1, 0);
    }

    /** {@code U·diag(√s)} and {@code diag(√s)·Vᵀ}: both factors of one size, which the narrow dtypes round best. */
    public Factors balancedFactors() {
        return scaled(0.5, 0.5);
    }

    private Factors scaled(double leftPower, double rightPower) {
        int k = values.length;
        double[] l = left.values().clone();
        for (int i = 0; i < l.length; i++) {
            l[i] *= Math.pow(values[i % k], leftPower);
        }
        double[] r = right.values().clone();
        int columns = Math.toIntExact(right.shape().dim(1));
        for (int i = 0; i < r.length; i++) {
            r[i] *= Math.pow(values[i / columns], rightPower);
        }
        return new Factors(new DoubleTensor(left.shape(), l), new DoubleTensor(right.shape(), r));
    }

    /** A thin QR decomposition: an orthonormal basis of the columns, and the matrix in it. */
    private record Qr(DMatrixRMaj basis, DMatrixRMaj upper) {
        static Qr of(DMatrixRMaj matrix) {
            QRDecomposition<DMatrixRMaj> qr = DecompositionFactory_DDRM.qr(matrix.numRows, matrix.numCols);
            // false only says that the columns depend on each other; the factors are right all the same
            qr.decompose(matrix.copy());
            return new Qr(qr.getQ(null, true), qr.getR(null, true));
        }
    }

    private static DMatrixRMaj wrap(DoubleTensor matrix) {
        return DMatrixRMaj.wrap(
                Math.toIntExact(matrix.shape().dim(0)),
                Math.toIntExact(matrix.shape().dim(1)),
                matrix.values());
    }

    private static DoubleTensor tensor(DMatrixRMaj matrix) {
        return new DoubleTensor(
                Shape.of(matrix.numRows, matrix.numCols), Arrays.copyOf(matrix.data, matrix.getNumElements()));
    }

    private static DMatrixRMaj times(DMatrixRMaj a, DMatrixRMaj b) {
        DMatrixRMaj product = new DMatrixRMaj(a.numRows, b.numCols);
        CommonOps_DDRM.mult(a, b, product);
        return product;
    }

    private static DMatrixRMaj timesTransposed(DMatrixRMaj a, DMatrixRMaj b) {
        DMatrixRMaj product = new DMatrixRMaj(a.numRows, b.numRows);
        CommonOps_DDRM.multTransB(a, b, product);
        return product;
    }

    private static DMatrixRMaj columns(DMatrixRMaj matrix, int count) {
        return CommonOps_DDRM.extract(matrix, 0, matrix.numRows, 0, count);
    }

    private static DMatrixRMaj rows(DMatrixRMaj matrix, int count) {
        return CommonOps_DDRM.extract(matrix, 0, count, 0, matrix.numCols);
    }
}
