package dev.adapt.formats.method.lowrank;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.LowRank;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.Region;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.StoredParts;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * AdaMSS: the outputs of a layer are divided into segments, of which each has a product of low rank of its own on the first
 * right singular vectors of the weight, {@code ΔW[segment i] = Bᵢ·Aᵢ·V} with V [r, in] frozen (Zheng et al., "AdaMSS",
 * NeurIPS 2025). A bias is one more column of the weight, for the decomposition and for the change.
 *
 * <p>PEFT does not store which outputs are in which segment: it clusters the left singular vectors anew whenever it loads the
 * adapter, and so does this class. The clusters depend on no sign and no rotation of those vectors, but on a random start that
 * PEFT draws from {@code random_seed}. Where that start does not lead to the V that is stored (other devices draw other
 * numbers, and older versions from no seed), the vectors are computed from V. Sizes of clusters that are not those of the
 * segments are refused.
 *
 * @param ownRank r, of V
 * @param subspaces how many segments
 * @param subspaceRank the largest rank of a segment's product
 * @param seed of the decomposition; empty where none was kept
 * @param segments by module, in the order of the segments; what the stored tensors tell
 */
public record Adamss(
        int ownRank, int subspaces, int subspaceRank, Optional<Long> seed, Map<String, List<Segment>> segments)
        implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "ADAMSS",
            "adamss",
            (config, metadata) -> of(config),
            MethodType.Training.at(1e-3).rank("r", 100));

    private static final String A = "adamss_A.";
    private static final String B = "adamss_B.";
    private static final String V = "adamss_newB";
    private static final String PLACES = "adamss_places";
    private static final String SEED = "random_seed";
    private static final String SUBSPACES = "num_subspaces";
    private static final int MOST_SUBSPACES = 1024;

    /** Of one segment's B. */
    private static final int MOST_ELEMENTS = 1 << 30;

    /** PEFT's numbers for k-means. */
    private static final long KMEANS_SEED = 123456789;

    private static final int KMEANS_ITERATIONS = 10;

    private static final String OTHER_CLUSTERS =
            "has segments of other sizes than the clusters of the base's singular vectors; PEFT does not store which"
                    + " outputs are in which segment, and they cannot be found again on this base: give the very base it was"
                    + " trained on, or merge the adapter with PEFT where it was trained";

    /** The settings of the pruning of segments while PEFT trains, as PEFT has them by default. */
    private static final Map<String, Number> PRUNING = Map.of(
            "asa_importance_beta",
            0.85,
            "asa_schedule_exponent",
            3.0,
            "asa_target_subspaces",
            50,
            "asa_uncertainty_beta",
            0.85,
            "final_warmup",
            1000,
            "init_warmup",
            50,
            "mask_interval",
            100,
            "svd_threshold",
            0.1);

    /**
     * Outputs that share a product.
     *
     * @param rank of the product
     */
    public record Segment(int outputs, int rank) {}

    public Adamss {
        segments = Map.copyOf(segments);
    }

    private static Adamss of(AdapterConfig config) {
        return new Adamss(
                config.rank(100),
                config.document().positive(SUBSPACES, MOST_SUBSPACES, 5),
                config.document().positive("subspace_rank", AdapterConfig.MOST_RANK, 1),
                config.document().whole(SEED),
                Map.of());
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "AdaMSS";
    }

    @Override
    public List<String> partNames() {
        return Stream.concat(IntStream.range(0, subspaces).boxed().flatMap(i -> Stream.of(A + i, B + i)), Stream.of(V))
                .toList();
    }

    @Override
    public Set<String> configFields() {
        return Stream.concat(
                        PRUNING.keySet().stream(),
                        Stream.of(SUBSPACES, "subspace_rank", SEED, "init_weights", "use_asa", "use_dynamic_rank"))
                .collect(Collectors.toSet());
    }

    @Override
    public AdapterMethod asStored(StoredParts stored) {
        Map<String, List<Segment>> found = new LinkedHashMap<>();
        for (String module : stored.modules()) {
            List<Segment> own = new ArrayList<>();
            for (int i = 0; i < subspaces; i++) {
                Tensor b = stored.of(module, B + i);
                if (b != null
                        && b.shape().rank() == 2
                        && b.shape().elements() > 0
                        && b.shape().elements() < MOST_ELEMENTS) {
                    own.add(new Segment(
                            Math.toIntExact(b.shape().dim(0)),
                            Math.toIntExact(b.shape().dim(1))));
                }
            }
            found.put(module, List.copyOf(own));
        }
        return new Adamss(ownRank, subspaces, subspaceRank, seed, found);
    }

    private List<Segment> segments(Target target) {
        return segments.getOrDefault(target.module(), List.of());
    }

    @Override
    public int rank(Target target) {
        return segments(target).stream().mapToInt(Segment::rank).sum();
    }

    @Override
    public Optional<String> untrainable() {
        return Optional.of(
                "its segments are clusters of the base's singular vectors, and their number is for its paper's"
                        + " pruning to choose; train it with PEFT and merge it here");
    }

    /** The bias changes with the weight. */
    @Override
    public boolean isAdditive() {
        return false;
    }

    @Override
    public boolean changesBias() {
        return true;
    }

    @Override
    public Optional<String> undefined(Target target) {
        int outputs = segments(target).stream().mapToInt(Segment::outputs).sum();
        return target.unlessLinear(title())
                .or(() -> outputs == target.out() && segments(target).size() == Math.min(subspaces, target.out())
                        ? Optional.empty()
                        : Optional.of("has " + segments(target).size() + " segments of " + outputs
                                + " outputs in all, expected "
                                + Math.min(subspaces, target.out()) + " of " + target.out() + ", as " + SUBSPACES
                                + " and the layer say"));
    }

    private static int width(Target target) {
        return target.in() + (target.biased() ? 1 : 0);
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        int vectors = Math.min(ownRank, Math.min(target.out(), width(target)));
        List<Segment> own = segments(target);
        List<Part> parts = new ArrayList<>();
        int values = 0;
        // no start is drawn: it is not trained here
        for (int i = 0; i < own.size(); i++) {
            Segment segment = own.get(i);
            parts.add(Part.trained(A + i, Shape.of(segment.rank(), vectors), new Initial.Constant(0)));
            parts.add(Part.trained(B + i, Shape.of(segment.outputs(), segment.rank()), new Initial.Constant(0)));
            values = Math.addExact(values, Math.multiplyExact(segment.outputs(), segment.rank()));
        }
        parts.add(Part.frozen(V, Shape.of(vectors, width(target)), new Initial.Constant(0)));
        parts.add(Part.ofBase(
                PLACES,
                Shape.of(2, values),
                new Initial.OfBase((part, weight, bias) -> places(own, part.apply(V), weight, bias), OTHER_CLUSTERS)));
        return parts;
    }

    /** The row and column of each element of B₀, B₁, … in the matrix [out, sum of ranks] that they are blocks of. */
    private Optional<FloatTensor> places(
            List<Segment> own, Tensor right, FloatTensor weight, Optional<FloatTensor> bias) {
        Subspace subspace = new Subspace(joined(weight, bias));
        DoubleTensor vectors = DoubleTensor.of(right);
        return seed.flatMap(key -> subspace.left(key, vectors))
                .flatMap(left -> places(own, left))
                .or(() -> subspace.left(vectors).flatMap(left -> places(own, left)));
    }

    private static Optional<FloatTensor> places(List<Segment> own, DoubleTensor left) {
        int[] labels = KMeans.labels(left, own.size(), KMEANS_ITERATIONS, KMEANS_SEED);
        List<Float> rows = new ArrayList<>();
        List<Float> columns = new ArrayList<>();
        int column = 0;
        for (int i = 0; i < own.size(); i++) {
            int cluster = i;
            int[] members = IntStream.range(0, labels.length)
                    .filter(row -> labels[row] == cluster)
                    .toArray();
            if (members.length != own.get(i).outputs()) {
                return Optional.empty();
            }
            for (int row : members) {
                for (int k = 0; k < own.get(i).rank(); k++) {
                    rows.add((float) row);
                    columns.add((float) (column + k));
                }
            }
            column += own.get(i).rank();
        }
        float[] places = new float[2 * rows.size()];
        for (int i = 0; i < rows.size(); i++) {
            places[i] = rows.get(i);
            places[rows.size() + i] = columns.get(i);
        }
        return Optional.of(new FloatTensor(Shape.of(2, rows.size()), places));
    }

    /** The weight, with the bias as its last column. */
    private static DoubleTensor joined(FloatTensor weight, Optional<FloatTensor> bias) {
        int out = Math.toIntExact(weight.shape().dim(0));
        int in = Math.toIntExact(weight.shape().dim(1));
        int width = in + (bias.isPresent() ? 1 : 0);
        double[] values = new double[out * width];
        for (int row = 0; row < out; row++) {
            for (int column = 0; column < in; column++) {
                values[row * width + column] = weight.values()[row * in + column];
            }
            if (bias.isPresent()) {
                values[row * width + in] = bias.get().values()[row];
            }
        }
        return new DoubleTensor(Shape.of(out, width), values);
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        int count = segments(target).size();
        List<T> a = IntStream.range(0, count).mapToObj(i -> part.apply(A + i)).toList();
        List<T> b = IntStream.range(0, count)
                .mapToObj(i -> ops.reshape(part.apply(B + i), -1))
                .toList();
        T left = ops.scatter(ops.concat(0, b), part.apply(PLACES), Region.of(target.out(), rank(target)));
        T right = ops.matMul(ops.concat(0, a), part.apply(V));
        WeightChange<T> change = WeightChange.of(new LowRank<>(left, ops.slice(right, 1, 0, target.in()), 1));
        if (!target.biased()) {
            return change;
        }
        T added = ops.reshape(ops.matMul(left, ops.slice(right, 1, target.in(), target.in() + 1L)), -1);
        return change.with(new WeightChange.BiasChange<>(old -> ops.add(old.orElseThrow(), added), false));
    }

    @Override
    public void describe(ObjectNode config) {
        config.put("r", ownRank);
        config.put(SUBSPACES, subspaces);
        config.put("subspace_rank", subspaceRank);
        seed.ifPresent(own -> config.put(SEED, own));
        config.put("init_weights", "orthogonal");
        config.put("use_asa", false);
        config.put("use_dynamic_rank", false);
        PRUNING.forEach((field, usual) -> {
            if (usual instanceof Integer whole) {
                config.put(field, whole);
            } else {
                config.put(field, usual.doubleValue());
            }
        });
    }
}
