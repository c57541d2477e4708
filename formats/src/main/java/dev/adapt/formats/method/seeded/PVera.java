package dev.adapt.formats.method.seeded;

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
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * PVeRA: VeRA whose inner scales are normal variables, {@code ΔW = diag(b)·B·diag(d)·A} with {@code d ~ N(d_μ, exp(d_σ))}
 * (Leclercq et al., arXiv 2512.07703). A merge takes the means, as PEFT does without {@code sample_at_inference}: A [2·r, in] and
 * d [2·r] hold what gives the mean before what gives the variance.
 *
 * @param key PEFT's {@code projection_prng_key}
 * @param saveProjection whether the adapter's file holds A and B too
 * @param rounding how A and B were rounded where the adapter was trained
 */
public record PVera(int ownRank, double dInitial, long key, double dropout, boolean saveProjection, Rounding rounding)
        implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "PVERA",
            "pvera",
            PVera::of,
            MethodType.Training.at(1e-2).rank("r", 256).dropout("pvera_dropout"));

    private static final String LAMBDA_B = "pvera_lambda_b";
    private static final String LAMBDA_D = "pvera_lambda_d";
    private static final String A = "pvera_A";
    private static final String B = "pvera_B";
    private static final String SAVE = "save_projection";

    private static PVera of(AdapterConfig config, Map<String, String> metadata) {
        config.refuse("sample_at_inference");
        return new PVera(
                config.rank(256),
                config.document().number("d_initial", 0.1),
                config.document().whole("projection_prng_key").orElse(0L),
                config.document().number("pvera_dropout", 0),
                config.document().flag(SAVE, true),
                Seeds.rounding(metadata));
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "PVeRA";
    }

    @Override
    public List<String> partNames() {
        return List.of(LAMBDA_B, LAMBDA_D);
    }

    @Override
    public Set<String> configFields() {
        return Set.of(
                "d_initial",
                "generator_seed",
                "init_weights",
                "projection_prng_key",
                "pvera_dropout",
                "sample_at_inference",
                SAVE);
    }

    @Override
    public int rank(Target target) {
        return ownRank;
    }

    @Override
    public Optional<String> untrainable() {
        return Optional.of("its scales are sampled in each step");
    }

    private Shape shape(String part, List<Target> all) {
        return part.equals(A) ? Shape.of(2L * ownRank, Seeds.in(all)) : Shape.of(Seeds.out(all), ownRank);
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        return List.of(
                Part.trained(LAMBDA_B, Shape.of(target.out()), new Initial.Constant(0)),
                Part.trained(LAMBDA_D, Shape.of(2L * ownRank), new Initial.Constant((float) dInitial)),
                Part.regenerated(A, shape(A, all), saveProjection),
                Part.regenerated(B, shape(B, all), saveProjection));
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        T means = ops.slice(part.apply(A), 0, 0, ownRank);
        return WeightChange.of(new LowRank<>(
                ops.slice(part.apply(B), 0, 0, target.out()),
                ops.slice(means, 1, 0, target.in()),
                Optional.of(part.apply(LAMBDA_B)),
                Optional.of(ops.slice(part.apply(LAMBDA_D), 0, 0, ownRank)),
                1));
    }

    @Override
    public Optional<String> misfit(Target target) {
        return Seeds.misfit(ownRank, target);
    }

    @Override
    public void describe(ObjectNode config) {
        config.put("r", ownRank);
        config.put("d_initial", dInitial);
        config.put("projection_prng_key", key);
        config.put(SAVE, saveProjection);
        config.put("pvera_dropout", dropout);
        config.put("init_weights", true);
        config.put("sample_at_inference", false);
    }

    @Override
    public Map<String, Tensor> regenerate(List<Target> all) {
        int in = Math.toIntExact(shape(A, all).dim(1));
        int out = Math.toIntExact(shape(B, all).dim(0));
        Projection projection = Projection.draw(key, 2 * ownRank, ownRank, in, out, rounding);
        return Map.of(A, projection.a(), B, projection.b());
    }

    @Override
    public Optional<String> storingField() {
        return Optional.of(SAVE);
    }

    @Override
    public List<Target> widest(Function<String, @Nullable Tensor> part) {
        return Seeds.widest(part.apply(A), part.apply(B));
    }

    @Override
    public List<AdapterMethod> otherRoundings() {
        return List.of(new PVera(ownRank, dInitial, key, dropout, saveProjection, Seeds.other(rounding)));
    }

    @Override
    public Map<String, String> metadata() {
        return Seeds.metadata(rounding);
    }
}
