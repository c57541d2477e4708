package dev.adapt.formats.method.lowrank;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.OutGain;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.ModuleNumbers;
import dev.adapt.formats.method.ModulePatterns;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Piece;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.StoredParts;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.TargetParameters;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * LoRA: {@code ΔW = s·B·A}, A [r, in], B [out, r], both trained (Hu et al., arXiv 2106.09685, equation 3), with
 * {@code s = α/r}, or {@code α/√r} for rsLoRA (Kalajdzievski, arXiv 2312.03732). A starts Kaiming-uniform, B at 0.
 *
 * <p>On an embedding of n rows the roles are the same with {@code in = n}; there A starts at 0 and B normal, as in PEFT.
 *
 * <p>DoRA (Liu et al., arXiv 2402.09353, equation 5) trains beside them the norms m [out] of the adapted weight's rows,
 * {@code W' = diag(m/‖W + ΔW‖)·(W + ΔW)}; m starts at ‖W‖.
 *
 * @param dora whether it is DoRA
 * @param rankPattern ranks of modules that differ, by PEFT's module patterns
 * @param alphaPattern alphas of modules that differ, by PEFT's module patterns
 * @param bias whether B has a bias [out], {@code lora_bias}: s times it is added to the layer's
 * @param variant an option that changes the factors, or the weight that they are added to
 */
public record Lora(
        int rank,
        double alpha,
        boolean rankStabilised,
        boolean dora,
        double dropout,
        ModulePatterns rankPattern,
        ModulePatterns alphaPattern,
        boolean bias,
        LoraVariant variant)
        implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "LORA",
            "lora",
            (config, metadata) -> of(config),
            MethodType.Training.at(1e-3)
                    .rank("r", 8)
                    .alpha("lora_alpha", 2)
                    .dropout("lora_dropout")
                    .languageRate(5e-4));

    private static final String A = "lora_A.weight";
    private static final String B = "lora_B.weight";
    private static final String B_BIAS = "lora_B.bias";
    private static final String MAGNITUDE = "lora_magnitude_vector";
    private static final String EMBEDDING_A = "lora_embedding_A";
    private static final String EMBEDDING_B = "lora_embedding_B";

    private static final String RANK_PATTERN = "rank_pattern";
    private static final String REPLICATION = "layer_replication";
    private static final String ALPHA_PATTERN = "alpha_pattern";

    /** Variants of LoRA that are not implemented. */
    private static final List<String> REFUSED = List.of("megatron_config", "arrow_config");

    private static final String ALORA = "alora_invocation_tokens";

    private static final Set<String> FIELDS = Set.of(
            ALORA,
            "kasa_config",
            "lora_bias",
            "monteclora_config",
            "use_bdlora",
            "use_qalora",
            ALPHA_PATTERN,
            "corda_config",
            "ensure_weight_tying",
            "eva_config",
            "init_lora_weights",
            "loftq_config",
            "lora_alpha",
            "lora_dropout",
            "lora_ga_config",
            "megatron_core",
            "qalora_group_size",
            RANK_PATTERN,
            REPLICATION,
            "runtime_config",
            TargetParameters.FIELD,
            "use_dora",
            "use_rslora",
            "velora_config");

    /** Starts that change the base's weights, so that the trained update does not belong to the base as it is. */
    private static final List<String> REBASED = List.of("pissa_niter", "corda", "loftq", "lora_ga");

    /** LoRA whose patterns are given by name. */
    public Lora(
            int rank,
            double alpha,
            boolean rankStabilised,
            boolean dora,
            double dropout,
            Map<String, Double> rankPattern,
            Map<String, Double> alphaPattern) {
        this(
                rank,
                alpha,
                rankStabilised,
                dora,
                dropout,
                new ModulePatterns(RANK_PATTERN, rankPattern),
                new ModulePatterns(ALPHA_PATTERN, alphaPattern),
                false,
                new LoraVariant.Plain());
    }

    /** LoRA with one rank and alpha for all layers. */
    public Lora(int rank, double alpha, double dropout) {
        this(rank, alpha, false, false, dropout, Map.of(), Map.of());
    }

    /** LoRA of scale 1 with a rank for each module, for factors that hold the whole update. */
    public static Lora unscaled(Map<String, Integer> rankOfModule) {
        int usual = rankOfModule.values().stream()
                .collect(Collectors.groupingBy(rank -> rank, TreeMap::new, Collectors.counting()))
                .entrySet()
                .stream()
                .max(Map.Entry.comparingByValue())
                .orElseThrow()
                .getKey();
        Map<String, Double> others = new LinkedHashMap<>();
        // of two names that a module ends with, the first is PEFT's: the longer must come first
        rankOfModule.entrySet().stream()
                .filter(entry -> entry.getValue() != usual)
                .sorted(Comparator.comparingInt(entry -> -entry.getKey().length()))
                .forEach(entry -> others.put(entry.getKey(), (double) entry.getValue()));
        return new Lora(usual, usual, false, false, 0, others, others);
    }

    /** Whether a part is the left factor. */
    public static boolean isLeft(String part) {
        return part.equals(B) || part.equals(EMBEDDING_B);
    }

    private static Lora of(AdapterConfig config) {
        if (config.document().says(ALORA)) {
            throw config.document()
                    .wrong(
                            ALORA,
                            "it unset: aLoRA changes a layer only for tokens after the invocation, so that no merged"
                                    + " weight is the same");
        }
        config.refuse(REFUSED.toArray(String[]::new));
        if (config.document().says(REPLICATION)) {
            throw config.document()
                    .wrong(
                            REPLICATION,
                            "it unset: the adapter is for a model in which layers of the base stand several times, and a merge"
                                    + " adds no layers; make that model first, such as with mergekit's passthrough and these"
                                    + " slices, remove the field, and merge into it");
        }
        if (config.document().says("use_dora")
                && !TargetParameters.of(config).entries().isEmpty()) {
            throw config.document().wrong(TargetParameters.FIELD, "it unset: DoRA, use_dora, has none, as in PEFT");
        }
        String start = config.document().string("init_lora_weights").orElse("").toLowerCase(Locale.ROOT);
        if (REBASED.stream().anyMatch(start::startsWith)) {
            throw config.document()
                    .wrong(
                            "init_lora_weights",
                            "a start that leaves the base as it is, or \"pissa\" or \"olora\": this one changed the base by"
                                    + " what only its training run knows; convert the adapter where it was trained, with"
                                    + " PEFT's path_initial_model_for_weight_conversion");
        }
        return new Lora(
                config.rank(8),
                config.document().number("lora_alpha", 8),
                config.document().says("use_rslora"),
                config.document().says("use_dora"),
                config.document().number("lora_dropout", 0),
                config.ranks(RANK_PATTERN),
                config.pattern(ALPHA_PATTERN),
                config.document().says("lora_bias"),
                variant(config, start));
    }

    private static LoraVariant variant(AdapterConfig config, String start) {
        LoraVariant variant = LoraVariant.of(config, start);
        if (!variant.isStart() && config.document().says("use_dora")) {
            throw config.document().wrong("use_dora", "it unset: PEFT has no DoRA with " + variant.title());
        }
        return variant;
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        if (dora) {
            return rankStabilised ? "DoRA with rsLoRA's scale" : "DoRA";
        }
        return rankStabilised && variant instanceof LoraVariant.Plain ? "rsLoRA" : variant.title();
    }

    @Override
    public List<String> partNames() {
        List<String> names = new ArrayList<>(List.of(A, B, EMBEDDING_A, EMBEDDING_B));
        if (dora) {
            names.add(MAGNITUDE);
        }
        if (bias) {
            names.add(B_BIAS);
        }
        names.addAll(variant.partNames());
        return names;
    }

    @Override
    public Set<String> configFields() {
        return Stream.concat(FIELDS.stream(), REFUSED.stream()).collect(Collectors.toUnmodifiableSet());
    }

    @Override
    public boolean adaptsEmbedding(Function<String, @Nullable Tensor> part) {
        return part.apply(EMBEDDING_A) != null || part.apply(EMBEDDING_B) != null;
    }

    @Override
    public int rank(Target target) {
        return variant(target).rank(storedRank(target));
    }

    @Override
    public AdapterMethod asStored(StoredParts stored) {
        return new Lora(
                rank,
                alpha,
                rankStabilised,
                dora,
                dropout,
                rankPattern,
                alphaPattern,
                bias,
                variant.holding(stored.layers()));
    }

    @Override
    public boolean reducesBase(Target target) {
        return switch (variant(target)) {
            case LoraVariant.Pissa _, LoraVariant.Olora _, LoraVariant.Kasa _ -> true;
            case LoraVariant.Plain _, LoraVariant.BlockDiagonal _, LoraVariant.MonteCarlo _, LoraVariant.Velora _ ->
                false;
        };
    }

    private LoraVariant variant(Target target) {
        return variant.on(target);
    }

    /** The rank that its factors have: a start from the base's singular values has no more of them than the weight. */
    private int storedRank(Target target) {
        return variant(target).storedRank(target, ownRank(target));
    }

    private int ownRank(Target target) {
        return (int) rankPattern.of(target.parameter(), rank);
    }

    @Override
    public Optional<String> undefined(Target target) {
        return variant(target).undefined(target, ownRank(target));
    }

    @Override
    public Optional<String> misfit(Target target) {
        return target.unlessRank(ownRank(target), Math.min(target.in(), target.out()))
                .or(() -> undefined(target));
    }

    @Override
    public Optional<String> unlessStacked() {
        String other = dora ? "DoRA" : bias ? "lora_bias" : dropout > 0 ? "dropout" : "";
        return other.isEmpty() && variant instanceof LoraVariant.Plain
                ? Optional.empty()
                : Optional.of("is a stack of experts, which takes plain LoRA, as in PEFT, without "
                        + (other.isEmpty() ? variant.title() : other));
    }

    @Override
    public Optional<String> untrainable() {
        return switch (variant) {
            case LoraVariant.Plain _, LoraVariant.BlockDiagonal _ -> Optional.empty();
            case LoraVariant.Kasa _, LoraVariant.Pissa _, LoraVariant.Olora _ ->
                Optional.of("its base would have to be decomposed before each run");
            case LoraVariant.MonteCarlo _ -> Optional.of("it samples A in each step");
            case LoraVariant.Velora _ -> Optional.of("its compressed backward pass is not implemented");
        };
    }

    @Override
    public boolean changesBias() {
        return bias;
    }

    /** What the product of a target's factors is multiplied with. */
    public double scale(Target target) {
        double own = alphaPattern.of(target.parameter(), alpha);
        int r = ownRank(target);
        return own / (rankStabilised ? Math.sqrt(r) : r);
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        int r = storedRank(target);
        List<Part> parts = new ArrayList<>();
        boolean blocks = variant instanceof LoraVariant.BlockDiagonal;
        Shape a = blocks ? variant.a(target, r) : shapeOfA(target, r);
        Shape b = blocks ? variant.b(target, r) : shapeOfB(target, r);
        if (target.embedding()) {
            parts.add(Part.trained(EMBEDDING_A, a, new Initial.Constant(0)));
            parts.add(Part.trained(EMBEDDING_B, b, new Initial.Normal(1)));
        } else {
            parts.add(Part.trained(A, a, new Initial.KaimingUniform(target.in())));
            parts.add(Part.trained(B, b, new Initial.Constant(0)));
        }
        if (dora) {
            parts.add(Part.trained(MAGNITUDE, shapeOfMagnitude(target), new Initial.RowNorms()));
        }
        if (bias && !target.embedding()) {
            parts.add(Part.trained(B_BIAS, Shape.of(target.out()), new Initial.Constant(0)));
        }
        parts.addAll(variant(target).parts(target, r));
        return parts;
    }

    /** [r, in]; of a stack [experts·r, in]; of a convolution [r, in, …], as large as its kernel. */
    private static Shape shapeOfA(Target target, int r) {
        return target.storage() instanceof Storage.Kernel kernel
                ? kernel.shape().with(0, r)
                : Shape.of((long) target.piece().experts() * r, target.in());
    }

    /** [out, r]; of a stack [out, r·experts]; of a convolution [out, r, 1, …]. */
    private static Shape shapeOfB(Target target, int r) {
        return target.storage() instanceof Storage.Kernel kernel
                ? kernel.point(target.out(), r)
                : Shape.of(
                        (long) target.out() * target.piece().parts(),
                        (long) r * target.piece().experts());
    }

    /** [out]; of a convolution [1, out, 1, …]. */
    private static Shape shapeOfMagnitude(Target target) {
        return target.storage() instanceof Storage.Kernel kernel
                ? kernel.point(1, target.out())
                : Shape.of(target.out());
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        T a = part.apply(target.embedding() ? EMBEDDING_A : A);
        T b = part.apply(target.embedding() ? EMBEDDING_B : B);
        WeightChange<T> sum = WeightChange.of(variant(target)
                .change(
                        ops,
                        target,
                        right(ops, target, a),
                        left(ops, target, b),
                        scale(target),
                        storedRank(target),
                        part,
                        weight));
        if (bias && !target.embedding()) {
            sum = sum.with(WeightChange.BiasChange.added(ops, ops.affine(part.apply(B_BIAS), scale(target), 0)));
        }
        if (!dora) {
            return sum;
        }
        T magnitude = part.apply(MAGNITUDE);
        boolean vector = !(target.storage() instanceof Storage.Kernel);
        return sum.with(new OutGain.Magnitude<>(vector ? magnitude : ops.reshape(magnitude, target.out())));
    }

    /** A of one matrix, [r, in]: in a stack the expert is the slowest index of the rows. */
    private <T> T right(MatrixOps<T> ops, Target target, T a) {
        int r = ownRank(target);
        if (target.storage() instanceof Storage.Kernel) {
            return ops.reshape(a, r, target.in());
        }
        Piece piece = target.piece();
        return piece.isWhole() ? a : ops.slice(a, 0, (long) piece.expert() * r, (piece.expert() + 1L) * r);
    }

    /** B of one matrix, [out, r]: in a stack the expert is the fastest index of the columns. */
    private <T> T left(MatrixOps<T> ops, Target target, T b) {
        if (target.storage() instanceof Storage.Kernel) {
            return ops.reshape(b, target.out(), ownRank(target));
        }
        Piece piece = target.piece();
        if (piece.isWhole()) {
            return b;
        }
        T left = ops.every(b, piece.expert(), piece.experts());
        long from = (long) piece.part() * target.out();
        return piece.parts() == 1 ? left : ops.slice(left, 0, from, from + target.out());
    }

    @Override
    public boolean isAdditive() {
        return !dora && !bias;
    }

    @Override
    public Delta.Scope scope() {
        return dora ? Delta.Scope.ROW : Delta.Scope.ELEMENT;
    }

    @Override
    public Optional<Shape> layerShape(Function<String, @Nullable Tensor> part) {
        boolean embedding = adaptsEmbedding(part);
        Tensor a = part.apply(embedding ? EMBEDDING_A : A);
        Tensor b = part.apply(embedding ? EMBEDDING_B : B);
        if (a == null
                || b == null
                || a.shape().rank() < 2
                || b.shape().rank() < 2
                || variant instanceof LoraVariant.BlockDiagonal) {
            return Optional.empty();
        }
        return Optional.of(a.shape().with(0, b.shape().dim(0)));
    }

    @Override
    public void describe(ObjectNode config) {
        config.put("r", rank);
        ModuleNumbers.put(config, "lora_alpha", alpha);
        config.put("lora_dropout", dropout);
        config.put("use_rslora", rankStabilised);
        config.put("use_dora", dora);
        ObjectNode ranks = config.putObject(RANK_PATTERN);
        rankPattern.numbers().forEach((module, value) -> ModuleNumbers.put(ranks, module, value));
        ObjectNode alphas = config.putObject(ALPHA_PATTERN);
        alphaPattern.numbers().forEach((module, value) -> ModuleNumbers.put(alphas, module, value));
        config.put("init_lora_weights", true);
        config.putNull("exclude_modules");
        config.putObject("loftq_config");
        config.put("megatron_core", "megatron.core");
        config.put("qalora_group_size", 16);
        config.put("lora_bias", bias);
        for (String flag : List.of("ensure_weight_tying", "use_qalora")) {
            config.put(flag, false);
        }
        for (String unused : List.of(
                "alora_invocation_tokens",
                "arrow_config",
                "corda_config",
                "eva_config",
                "kasa_config",
                "layer_replication",
                "lora_ga_config",
                "megatron_config",
                "monteclora_config",
                "target_parameters",
                "trainable_token_indices",
                "use_bdlora",
                "velora_config")) {
            config.putNull(unused);
        }
        variant.describe(config);
    }
}
