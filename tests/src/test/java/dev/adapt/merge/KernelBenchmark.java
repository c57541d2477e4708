package dev.adapt.merge;

import dev.adapt.formats.algebra.LowRank;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.merge.kernel.Factors;
import dev.adapt.merge.kernel.Floats;
import dev.adapt.merge.kernel.Kernels;
import dev.adapt.merge.kernel.Lane;
import dev.adapt.merge.kernel.NonFinite;
import dev.adapt.merge.kernel.Panels;
import dev.adapt.merge.kernel.Product;
import dev.adapt.merge.kernel.ScalarKernels;
import dev.adapt.merge.kernel.VectorKernels;
import dev.adapt.tests.bench.Machine;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/**
 * The kernels on a tile of a Llama's width. It lies in the kernels' package to reach both forms of them. A score is the
 * time of one element: a product of rank r costs r fused multiply-adds of it.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(value = 1, jvmArgsAppend = "--add-modules=jdk.incubator.vector")
public class KernelBenchmark {
    private static final int ROWS = 16;
    private static final int COLUMNS = 2048;

    @Param({"BF16", "F16", "F32"})
    private String dtype = "BF16";

    @Param({"16", "64", "256", "1024"})
    private int rank = 16;

    @Param({"vector", "scalar"})
    private String form = "vector";

    private Kernels kernels = new ScalarKernels();
    private Floats floats = Floats.BF16;
    private Factors factors;
    private final Lane lane = new Lane();
    private MemorySegment tile = MemorySegment.NULL;
    private final NonFinite found = new NonFinite();
    private Product sums = new Product(new float[0], new Panels(1, false), 0, 0);

    /** Prints the machine's peak and runs JMH. */
    public static void main(String[] args) throws Exception {
        System.out.printf(
                Locale.ROOT,
                "peak of one core: %.1f G fused multiply-adds a second, so an element takes at least rank / %1$.1f ns%n",
                Machine.multiplying() / 1e9);
        String[] all = new String[args.length + 1];
        System.arraycopy(args, 0, all, 0, args.length);
        all[args.length] = KernelBenchmark.class.getSimpleName();
        org.openjdk.jmh.Main.main(all);
    }

    /** Makes a tile and its factors. */
    @Setup
    public void setUp() {
        kernels = form.equals("vector") ? new VectorKernels() : new ScalarKernels();
        floats = Floats.valueOf(dtype);
        Random random = new Random(1);
        LowRank<Tensor> product = new LowRank<>(random(random, ROWS, rank), random(random, rank, COLUMNS), 1);
        Panels panels = kernels.panels(floats);
        float[] right = new float[Factors.rightSize(COLUMNS, rank, panels)];
        factors = Factors.pack(List.of(new Factors.Part(product, 1)), COLUMNS, false, panels, right);
        tile = Arena.ofAuto().allocate((long) ROWS * COLUMNS * floats.bytes(), 64);
        sums = new Product(new float[ROWS * COLUMNS], panels, 0, panels.count(COLUMNS));
    }

    private static Tensor random(Random random, int rows, int columns) {
        float[] values = new float[rows * columns];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return new FloatTensor(Shape.of(rows, columns), values);
    }

    /** The product alone. */
    @Benchmark
    @OperationsPerInvocation(ROWS * COLUMNS)
    public Product multiply() {
        return factors.multiply(kernels, 0, ROWS, lane);
    }

    /** Reading, adding, rounding and writing alone. */
    @Benchmark
    @OperationsPerInvocation(ROWS * COLUMNS)
    public MemorySegment add() {
        kernels.add(floats, sums, ROWS, COLUMNS, tile, tile, found);
        return tile;
    }
}
