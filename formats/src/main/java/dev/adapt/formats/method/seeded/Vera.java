package dev.adapt.formats.method.seeded;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.BooleanNode;
import com.fasterxml.jackson.databind.node.IntNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.LowRank;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.random.Rounding;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * VeRA: {@code ΔW = diag(b)·B·diag(d)·A} (Kopiczko et al., arXiv 2310.11454, equation 2). A and B are frozen, shared by
 * all layers and regenerated from a seed, so that only b [out] and d [r] of each layer are trained and stored. b starts
 * at 0, d at {@code dInitial}.
 *
 * <p>Stored in bf16 or f16, all four widen exactly to float32 and are computed with as that, as PEFT does once its default
 * {@code autocast_adapter_dtype} has widened them; a projection that is stored is used as it is stored.
 *
 * @param key PEFT's {@code projection_prng_key}
 * @param saveProjection whether the adapter's file holds A and B too
 * @param rounding how A and B were rounded where the adapter was trained
 */
public record Vera(int rank, double dInitial, long key, double dropout, boolean saveProjection, Rounding rounding)
        implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "VERA",
            "vera",
            Vera::of,
            MethodType.Training.at(1e-2)
                    .rank("r", 256)
                    .dropout("vera_dropout")
                    .set("projection_prng_key", IntNode.valueOf(0))
                    .set("save_projection", BooleanNode.FALSE));

    private static final String LAMBDA_B = "vera_lambda_b";
    private static final String LAMBDA_D = "vera_lambda_d";
    private static final String A = "vera_A";
    private static final String B = "vera_B";
    private static final String ROUNDING = "adapt.vera.rounding";
    private static final Set<String> FIELDS = Set.of(
            "d_initial", "init_weights", "init_vera_weights", "projection_prng_key", "save_projection", "vera_dropout");

    private static Vera of(AdapterConfig config, Map<String, String> metadata) {
        JsonNode save = config.document().json().path("save_projection");
        long key = config.document()
                .whole("projection_prng_key")
                .orElseThrow(() -> config.document().wrong("projection_prng_key", "an integer"));
        return new Vera(
                config.rank(256),
                config.document().number("d_initial", 0.1),
                key,
                config.document().number("vera_dropout", 0),
                save.asBoolean(true),
                "unfused".equals(metadata.get(ROUNDING)) ? Rounding.UNFUSED : Rounding.FMA);
    }

    /** The same adapter, its projection rounded in another way. */
    public Vera rounded(Rounding other) {
        return new Vera(rank, dInitial, key, dropout, saveProjection, other);
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "VeRA";
    }

    @Override
    public List<String> partNames() {
        return List.of(LAMBDA_B, LAMBDA_D);
    }

    @Override
    public Set<String> configFields() {
        return FIELDS;
    }

    @Override
    public int rank(Target target) {
        return rank;
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        int in = Seeds.in(all);
        int out = Seeds.out(all);
        return List.of(
                Part.trained(LAMBDA_B, Shape.of(target.out()), new Initial.Constant(0)),
                Part.trained(LAMBDA_D, Shape.of(rank), new Initial.Constant((float) dInitial)),
                Part.regenerated(A, Shape.of(rank, in), saveProjection),
                Part.regenerated(B, Shape.of(out, rank), saveProjection));
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        return WeightChange.of(new LowRank<>(
                ops.slice(part.apply(B), 0, 0, target.out()),
                ops.slice(part.apply(A), 1, 0, target.in()),
                Optional.of(part.apply(LAMBDA_B)),
                Optional.of(part.apply(LAMBDA_D)),
                1));
    }

    @Override
    public Optional<String> misfit(Target target) {
        return Seeds.misfit(rank, target);
    }

    @Override
    public void describe(ObjectNode config) {
        config.put("r", rank);
        config.put("d_initial", dInitial);
        config.put("projection_prng_key", key);
        config.put("save_projection", saveProjection);
        config.put("vera_dropout", dropout);
        config.put("init_weights", true);
    }

    @Override
    public boolean castsRegenerated() {
        return true;
    }

    @Override
    public Map<String, Tensor> regenerate(List<Target> all) {
        int in = Seeds.in(all);
        int out = Seeds.out(all);
        Projection projection = Projection.draw(key, rank, in, out, rounding);
        return Map.of(A, projection.a(), B, projection.b());
    }

    @Override
    public Optional<String> storingField() {
        return Optional.of("save_projection");
    }

    @Override
    public List<Target> widest(Function<String, @Nullable Tensor> part) {
        return Seeds.widest(part.apply(A), part.apply(B));
    }

    @Override
    public List<AdapterMethod> otherRoundings() {
        return List.of(rounded(Seeds.other(rounding)));
    }

    @Override
    public Map<String, String> metadata() {
        return Map.of(ROUNDING, rounding.name().toLowerCase(Locale.ROOT));
    }
}
