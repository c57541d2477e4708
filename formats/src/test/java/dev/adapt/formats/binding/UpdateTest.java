package dev.adapt.formats.binding;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.adapt.formats.adapter.MethodSamples;
import dev.adapt.formats.algebra.LowRank;
import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.lowrank.AdaLora;
import dev.adapt.formats.method.lowrank.CondLora;
import dev.adapt.formats.method.lowrank.Deft;
import dev.adapt.formats.method.lowrank.Delora;
import dev.adapt.formats.method.lowrank.GraLora;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.method.lowrank.LoraVariant;
import dev.adapt.formats.method.lowrank.LoraXs;
import dev.adapt.formats.method.lowrank.Peanut;
import dev.adapt.formats.method.seeded.PVera;
import dev.adapt.formats.method.seeded.VbLora;
import dev.adapt.formats.method.seeded.Vera;
import dev.adapt.formats.method.transform.Miss;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

@DisplayName("A method's update is its formula, and folded for merging it is the same as applied in training")
class UpdateTest {
    private static final List<Integer> SIZES = List.of(1, 13, 207);
    private final ReferenceOps ops = new ReferenceOps();

    static Stream<Arguments> everyMethodAndSize() {
        return SIZES.stream()
                .flatMap(rank -> MethodSamples.of(rank).stream())
                .filter(AdapterMethod::hasLowRankDelta)
                .flatMap(method -> SIZES.stream()
                        .flatMap(in -> SIZES.stream()
                                .filter(out -> method.undefined(target(out, in)).isEmpty())
                                .map(out -> Arguments.of(method, in, out))));
    }

    @ParameterizedTest(name = "{0}, in {1}, out {2}")
    @MethodSource("everyMethodAndSize")
    void foldedIsApplied(AdapterMethod method, int in, int out) {
        Random random = new Random(31L * in + out);
        Target target = target(out, in);
        // the other target is larger in one direction, so that shared parts are larger than this layer's
        Target other = new Target("encoder.layer.1.value", "encoder.layer.1.value", "any", 14, 209, false);
        // a rank larger than a layer is no error in the formula, but blocks that do not divide it are
        boolean anySize = !(method instanceof Lora lora) || lora.variant() instanceof LoraVariant.Plain;
        assumeTrue(
                (anySize && !(method instanceof GraLora || method instanceof VbLora || method instanceof LoraXs))
                        || (method.misfit(target).isEmpty()
                                && method.misfit(other).isEmpty()),
                "this layer is none for the method");
        BoundAdapter adapter = filled(method, List.of(target, other), random);
        for (Target each : adapter.targets()) {
            WeightChange<DoubleTensor> change = adapter.change(
                    ops, each, key -> DoubleTensor.of(adapter.tensors().get(key)), () -> DoubleTensor.of(weight(each)));
            if (!(change.delta() instanceof LowRank<DoubleTensor> update)) {
                throw new AssertionError(method + " says that its changes are products of low rank");
            }
            DoubleTensor x = new DoubleTensor(
                    Shape.of(3, each.in()),
                    random.doubles(3L * each.in(), -1, 1).toArray());
            DoubleTensor delta = ops.matMul(update.foldedLeft(ops), update.foldedRight(ops));
            assertEquals(Shape.of(each.out(), each.in()), delta.shape());
            assertSame(ops.linear(x, delta, Optional.empty()), update.apply(ops, x));
            // the others are held to PEFT's own merges: MethodCasesTest
            formula(method, adapter, each).ifPresent(expected -> assertSame(expected, delta));
        }
    }

    private static Target target(int out, int in) {
        return new Target("encoder.layer.0.query", "encoder.layer.0.query", "any", out, in, false);
    }

    private static BoundAdapter filled(AdapterMethod method, List<Target> targets, Random random) {
        BoundAdapter fresh =
                BoundAdapter.fresh(method, targets, UpdateTest::weight, Map.of(), Optional.empty(), Map.of(), random);
        Map<String, FloatTensor> trained = new LinkedHashMap<>();
        for (String key : fresh.trainedKeys()) {
            Shape shape = fresh.tensors().get(key).shape();
            trained.put(key, tensor(shape, random));
        }
        return fresh.with(trained, Map.of());
    }

    private static FloatTensor weight(Target target) {
        return tensor(Shape.of(target.out(), target.in()), new Random(target.out()));
    }

    private static FloatTensor tensor(Shape shape, Random random) {
        float[] values = new float[(int) shape.elements()];
        for (int i = 0; i < values.length; i++) {
            values[i] = random.nextFloat(-1, 1);
        }
        return new FloatTensor(shape, values);
    }

    /** ΔW element by element, as the papers write it. */
    private static Optional<DoubleTensor> formula(AdapterMethod method, BoundAdapter adapter, Target target) {
        String own = "base_model.model." + target.module();
        return switch (method) {
            case Lora lora
            when lora.variant() instanceof LoraVariant.Plain -> {
                FloatTensor a = tensor(adapter, own + ".lora_A.weight");
                FloatTensor b = tensor(adapter, own + ".lora_B.weight");
                double scale = scale(lora, target);
                yield Optional.of(sum(target, lora.rank(target), (i, k, j) -> scale * at(b, i, k) * at(a, k, j)));
            }
            case Vera vera -> {
                FloatTensor a = tensor(adapter, "base_model.vera_A");
                FloatTensor b = tensor(adapter, "base_model.vera_B");
                float[] outer = tensor(adapter, own + ".vera_lambda_b").values();
                float[] inner = tensor(adapter, own + ".vera_lambda_d").values();
                yield Optional.of(sum(
                        target, vera.rank(), (i, k, j) -> (double) outer[i] * at(b, i, k) * inner[k] * at(a, k, j)));
            }
            case CondLora shared -> {
                FloatTensor w = weight(target);
                FloatTensor thetaA = tensor(adapter, stack(target) + ".condlora_theta_A");
                FloatTensor thetaB = tensor(adapter, stack(target) + ".condlora_theta_B");
                double[] a = sum(shared.rank(), target.in(), target.out(), (k, i, j) -> at(thetaA, i, k) * at(w, i, j));
                double[] b = sum(target.out(), shared.rank(), target.in(), (i, j, k) -> at(w, i, j) * at(thetaB, j, k));
                double scale = shared.alpha() / shared.rank();
                yield Optional.of(sum(
                        target, shared.rank(), (i, k, j) -> scale * b[i * shared.rank() + k] * a[k * target.in() + j]));
            }
            case Delora bound -> {
                FloatTensor a = tensor(adapter, own + ".delora_A");
                FloatTensor b = tensor(adapter, own + ".delora_B");
                float lambda = tensor(adapter, own + ".delora_lambda").values()[0];
                int rank = bound.rank(target);
                double[] inner = new double[rank];
                for (int k = 0; k < rank; k++) {
                    inner[k] = (double) lambda / rank / (norm(a, k, false) * norm(b, k, true));
                }
                FloatTensor w = weight(target);
                yield Optional.of(sum(
                        target, rank, (i, k, j) -> at(b, i, k) * inner[k] * at(a, k, j) * (float) norm(w, j, true)));
            }
            case Deft projected -> {
                FloatTensor p = tensor(adapter, own + ".deft_P");
                FloatTensor r = tensor(adapter, own + ".deft_R");
                FloatTensor w = weight(target);
                int rank = projected.rank(target);
                double[] removed =
                        sum(rank, target.in(), target.out(), (k, i, j) -> Math.max(at(p, i, k), 0) * at(w, i, j));
                double scale = projected.alpha().orElseThrow() / rank;
                yield Optional.of(sum(
                        target, rank, (i, k, j) -> at(p, i, k) * (scale * at(r, k, j) - removed[k * target.in() + j])));
            }
            case Peanut network -> {
                FloatTensor a = tensor(adapter, own + ".peanut_A.weight");
                FloatTensor b = tensor(adapter, own + ".peanut_B.weight");
                FloatTensor w = weight(target);
                double[] hidden =
                        sum(network.rank(), target.in(), target.out(), (k, i, j) -> at(a, k, i) * at(w, i, j));
                double scale = network.scale();
                yield Optional.of(sum(target, network.rank(), (i, k, j) -> {
                    double x = hidden[k * target.in() + j];
                    return scale * at(b, i, k) * x / (1 + Math.exp(-x));
                }));
            }
            case Miss runs -> {
                FloatTensor block = tensor(adapter, own + ".miss_block");
                int stored = block.shape().dims().get(1).intValue();
                yield Optional.of(sum(target, 1, (i, k, j) -> at(block, j % runs.ownRank(), i % stored)));
            }
            case AdaLora svd -> {
                FloatTensor q = tensor(adapter, own + ".lora_A");
                FloatTensor p = tensor(adapter, own + ".lora_B");
                float[] values = tensor(adapter, own + ".lora_E").values();
                double scale = svd.alpha() / (svd.initialRank() + 1e-5f);
                yield Optional.of(
                        sum(target, svd.initialRank(), (i, k, j) -> scale * at(p, i, k) * values[k] * at(q, k, j)));
            }
            case PVera vera -> {
                FloatTensor a = tensor(adapter, "base_model.pvera_A");
                FloatTensor b = tensor(adapter, "base_model.pvera_B");
                float[] outer = tensor(adapter, own + ".pvera_lambda_b").values();
                float[] inner = tensor(adapter, own + ".pvera_lambda_d").values();
                yield Optional.of(sum(
                        target, vera.ownRank(), (i, k, j) -> (double) outer[i] * at(b, i, k) * inner[k] * at(a, k, j)));
            }
            default -> Optional.empty();
        };
    }

    /** The norm of a row, or of a column. */
    private static double norm(FloatTensor matrix, int index, boolean column) {
        double squares = 0;
        for (int i = 0; i < matrix.shape().dim(column ? 0 : 1); i++) {
            double element = column ? at(matrix, i, index) : at(matrix, index, i);
            squares += element * element;
        }
        return Math.sqrt(squares);
    }

    private static String stack(Target target) {
        return "base_model.model." + target.module().replaceAll("\\d+", "*");
    }

    private interface Term {
        double at(int i, int k, int j);
    }

    private static DoubleTensor sum(Target target, int rank, Term term) {
        return new DoubleTensor(Shape.of(target.out(), target.in()), sum(target.out(), target.in(), rank, term));
    }

    private static double[] sum(int rows, int columns, int depth, Term term) {
        double[] sums = new double[rows * columns];
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                for (int k = 0; k < depth; k++) {
                    sums[i * columns + j] += term.at(i, k, j);
                }
            }
        }
        return sums;
    }

    private static double scale(Lora lora, Target target) {
        double alpha = target.module().endsWith("query") ? lora.alphaPattern().of("query", lora.alpha()) : lora.alpha();
        int rank = lora.rank(target);
        return lora.rankStabilised() ? alpha / Math.sqrt(rank) : alpha / rank;
    }

    private static FloatTensor tensor(BoundAdapter adapter, String key) {
        return FloatTensor.of(Objects.requireNonNull(adapter.tensors().get(key), key));
    }

    private static double at(FloatTensor matrix, int row, int column) {
        return matrix.values()[row * matrix.shape().dims().get(1).intValue() + column];
    }

    private static void assertSame(DoubleTensor expected, DoubleTensor actual) {
        assertEquals(expected.shape(), actual.shape());
        double largest = 1e-300;
        double difference = 0;
        for (int i = 0; i < expected.values().length; i++) {
            largest = Math.max(largest, Math.abs(expected.values()[i]));
            difference = Math.max(difference, Math.abs(expected.values()[i] - actual.values()[i]));
        }
        assertEquals(0, difference / largest, 1e-13);
    }
}
