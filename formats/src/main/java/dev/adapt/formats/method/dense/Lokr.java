package dev.adapt.formats.method.dense;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.Region;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.ModuleNumbers;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.LongStream;

/**
 * LoKr: {@code ΔW = s·(C ⊗ D)}, a Kronecker product of C [a, c] and D [b, d] with {@code out = a·b}, {@code in = c·d} and
 * {@code s = α/r} (Yeh et al., "LyCORIS", arXiv 2309.14859, section 3.2). Each factor is stored whole, or as a product of
 * rank r where that is smaller; C only with {@code decompose_both}. C starts at 0, the others Kaiming-uniform.
 *
 * <p>Of a convolution D is a kernel [b, d, …], of Tucker form with {@code use_effective_conv2d}.
 *
 * @param factor the wanted a and c; -1 for those nearest to the roots of out and in
 * @param forms of modules whose tensors are not as the other settings say, but tell their form themselves: LyCORIS has more
 */
public record Lokr(
        ModuleNumbers rank,
        ModuleNumbers alpha,
        boolean decomposeBoth,
        int factor,
        boolean tucker,
        Map<String, Form> forms)
        implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "LOKR",
            "lokr",
            (config, metadata) -> of(config),
            MethodType.Training.at(1e-3).rank("r", 8).alpha("alpha", 1));

    private static final String C = "lokr_w1";
    private static final String C_LEFT = "lokr_w1_a";
    private static final String C_RIGHT = "lokr_w1_b";
    private static final String D = "lokr_w2";
    private static final String D_LEFT = "lokr_w2_a";
    private static final String D_RIGHT = "lokr_w2_b";
    private static final String D_CORE = "lokr_t2";
    private static final String FACTOR = "decompose_factor";

    /**
     * How a module's C [a, c] and D are stored.
     *
     * @param rankOfC of the product that C is; 0 where it is stored whole
     * @param rankOfD of the product that D is; 0 where it is stored whole
     * @param tucker whether D has the Tucker form
     */
    public record Form(int a, int c, int rankOfC, int rankOfD, boolean tucker) {
        /** The rank that alpha is divided by; 0 where nothing is a product, and alpha counts for nothing. */
        public int rank() {
            return rankOfD > 0 ? rankOfD : rankOfC;
        }
    }

    public Lokr {
        forms = Map.copyOf(forms);
    }

    /** The same, with modules whose tensors tell their form. */
    public Lokr with(Map<String, Form> told) {
        return new Lokr(rank, alpha, decomposeBoth, factor, tucker, told);
    }

    private static Lokr of(AdapterConfig config) {
        config.requireProbabilities("rank_dropout", "module_dropout");
        int factor = config.document().integer(FACTOR, -1, -1, Integer.MAX_VALUE);
        if (factor == 0) {
            throw config.document().wrong(FACTOR, "-1 or a positive integer");
        }
        return new Lokr(
                ModuleNumbers.ranks(config, 8, "rank_pattern"),
                ModuleNumbers.of(config, "alpha", 8, "alpha_pattern"),
                config.document().flag("decompose_both", false),
                factor,
                config.document().flag("use_effective_conv2d", false),
                Map.of());
    }

    /** How the two sizes of a layer are factorised. */
    private record Sizes(int a, int b, int c, int d, int kernel) {}

    private Sizes sizes(Target target) {
        int kernel = target.storage() instanceof Storage.Kernel own ? own.size() : 1;
        int in = target.in() / kernel;
        Form form = forms.get(target.module());
        int a = form == null ? factor(target.out()) : form.a();
        int c = form == null ? factor(in) : form.c();
        return new Sizes(a, target.out() / a, c, in / c, kernel);
    }

    /** The first of two factors: {@code factor} itself if it divides, else the largest divisor up to it and the root. */
    private int factor(int size) {
        if (factor > 0 && size % factor == 0) {
            return factor;
        }
        int most = factor > 0 ? factor : size;
        int best = 1;
        for (int divisor = 2; divisor <= most && (long) divisor * divisor <= size; divisor++) {
            best = size % divisor == 0 ? divisor : best;
        }
        return best;
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "LoKr";
    }

    @Override
    public List<String> partNames() {
        return List.of(C, C_LEFT, C_RIGHT, D, D_LEFT, D_RIGHT, D_CORE);
    }

    @Override
    public Set<String> configFields() {
        return Set.of(
                "alpha",
                "alpha_pattern",
                "decompose_both",
                FACTOR,
                "init_weights",
                "module_dropout",
                "rank_dropout",
                "rank_dropout_scale",
                "rank_pattern",
                "use_effective_conv2d");
    }

    @Override
    public int rank(Target target) {
        return (int) rank.of(target.module());
    }

    @Override
    public boolean hasLowRankDelta() {
        return false;
    }

    @Override
    public Optional<String> misfit(Target target) {
        return undefined(target);
    }

    @Override
    public Optional<String> undefined(Target target) {
        if (target.embedding()) {
            return Optional.of("is an embedding, and LoKr adapts linear layers and convolutions");
        }
        Form form = forms.get(target.module());
        int in = target.storage() instanceof Storage.Kernel kernel ? target.in() / kernel.size() : target.in();
        return form == null || (target.out() % form.a() == 0 && in % form.c() == 0)
                ? Optional.empty()
                : Optional.of("is " + target.shape() + ", which its lokr_w1 [" + form.a() + ", " + form.c()
                        + "] does not divide");
    }

    private Form form(Target target) {
        Form told = forms.get(target.module());
        if (told != null) {
            return told;
        }
        Sizes sizes = sizes(target);
        int r = rank(target);
        boolean productC = decomposeBoth && 2 * r < Math.max(sizes.a(), sizes.c());
        boolean productD = 2 * r < Math.max(sizes.b(), sizes.d());
        return new Form(
                sizes.a(), sizes.c(), productC ? r : 0, productD ? r : 0, productD && tucker && sizes.kernel() > 1);
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        Sizes sizes = sizes(target);
        Form form = form(target);
        List<Part> parts = new ArrayList<>();
        if (form.rankOfC() > 0) {
            parts.add(Part.trained(C_LEFT, Shape.of(sizes.a(), form.rankOfC()), new Initial.Constant(0)));
            parts.add(
                    Part.trained(C_RIGHT, Shape.of(form.rankOfC(), sizes.c()), new Initial.KaimingUniform(sizes.c())));
        } else {
            parts.add(Part.trained(C, Shape.of(sizes.a(), sizes.c()), new Initial.Constant(0)));
        }
        int width = sizes.d() * sizes.kernel();
        int r = form.rankOfD();
        if (r == 0) {
            parts.add(Part.trained(D, kernel(target, sizes).shape(), new Initial.KaimingUniform(width)));
        } else if (form.tucker()) {
            Shape core = kernel(target, sizes).core(r);
            parts.add(Part.trained(D_CORE, core, new Initial.KaimingUniform(r * sizes.kernel())));
            parts.add(Part.trained(D_LEFT, Shape.of(r, sizes.b()), new Initial.KaimingUniform(sizes.b())));
            parts.add(Part.trained(D_RIGHT, Shape.of(r, sizes.d()), new Initial.KaimingUniform(sizes.d())));
        } else {
            parts.add(Part.trained(D_LEFT, Shape.of(sizes.b(), r), new Initial.KaimingUniform(r)));
            parts.add(Part.trained(D_RIGHT, Shape.of(r, width), new Initial.KaimingUniform(width)));
        }
        return parts;
    }

    /** D as a kernel [b, d, …]; of a linear layer [b, d]. */
    private static Storage.Kernel kernel(Target target, Sizes sizes) {
        LongStream rest = target.storage() instanceof Storage.Kernel own
                ? own.shape().dims().stream().skip(2).mapToLong(Long::longValue)
                : LongStream.empty();
        return new Storage.Kernel(Shape.of(
                LongStream.concat(LongStream.of(sizes.b(), sizes.d()), rest).toArray()));
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        Sizes sizes = sizes(target);
        Form form = form(target);
        boolean told = forms.containsKey(target.module());
        double scale = told && form.rank() == 0 ? 1 : alpha.of(target.module()) / rank(target);
        T c = form.rankOfC() > 0 ? ops.matMul(part.apply(C_LEFT), part.apply(C_RIGHT)) : part.apply(C);
        T scaled = ops.affine(c, scale, 0);
        T d = right(ops, target, sizes, form, part);
        return WeightChange.of(new Delta.Dense<>((tile, region) -> block(tile, scaled, d, sizes, region)));
    }

    private <T> T right(MatrixOps<T> ops, Target target, Sizes sizes, Form form, Function<String, T> part) {
        if (form.rankOfD() == 0) {
            return ops.reshape(part.apply(D), sizes.b(), (long) sizes.d() * sizes.kernel());
        }
        if (!form.tucker()) {
            return ops.matMul(part.apply(D_LEFT), part.apply(D_RIGHT));
        }
        T contracted = kernel(target, sizes).contract(ops, part.apply(D_CORE), part.apply(D_RIGHT));
        return ops.matMul(ops.transpose(part.apply(D_LEFT), 1, 0), contracted);
    }

    private static <T> T block(MatrixOps<T> ops, T c, T d, Sizes sizes, Region region) {
        List<T> rows = new ArrayList<>();
        for (Runs row : Runs.of(region.row(), region.rowEnd(), sizes.b())) {
            List<T> columns = new ArrayList<>();
            for (Runs column : Runs.of(region.column(), region.columnEnd(), sizes.d() * sizes.kernel())) {
                T outer = new Region(row.first(), row.count(), column.first(), column.count()).of(ops, c);
                T inner = new Region(row.from(), row.size(), column.from(), column.size()).of(ops, d);
                T product = ops.mul(
                        ops.reshape(outer, row.count(), 1, column.count(), 1),
                        ops.reshape(inner, 1, row.size(), 1, column.size()));
                columns.add(
                        ops.reshape(product, (long) row.count() * row.size(), (long) column.count() * column.size()));
            }
            rows.add(columns.size() == 1 ? columns.getFirst() : ops.concat(1, columns));
        }
        return rows.size() == 1 ? rows.getFirst() : ops.concat(0, rows);
    }

    @Override
    public void describe(ObjectNode config) {
        rank.describe(config, "r", "rank_pattern");
        alpha.describe(config, "alpha", "alpha_pattern");
        config.put("decompose_both", decomposeBoth);
        config.put(FACTOR, factor);
        config.put("init_weights", true);
        config.put("module_dropout", 0.0);
        config.put("rank_dropout", 0.0);
        config.put("rank_dropout_scale", false);
        config.put("use_effective_conv2d", tucker);
    }
}
