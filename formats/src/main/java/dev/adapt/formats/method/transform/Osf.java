package dev.adapt.formats.method.transform;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.ModuleNumbers;
import dev.adapt.formats.method.ModulePattern;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Svd;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * OSF: of the singular value decomposition {@code W = Σᵢ σᵢ·uᵢ·vᵢᵀ} the first k terms stay, and the others are replaced,
 * {@code W' = Σᵢ≤ₖ σᵢ·uᵢ·vᵢᵀ + U·diag(S)·V} (Nayak et al., "Sculpting Subspaces", arXiv 2504.07097, equation 2). No sign of
 * a singular vector matters to that.
 *
 * @param kept k of modules that no pattern names
 * @param patterns k of others; the first that is found anywhere in a module's name holds
 */
public record Osf(Kept kept, List<Pattern> patterns) implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE =
            new MethodType("OSF", "osf", (config, metadata) -> of(config), MethodType.Training.at(1e-4));

    private static final String U = "osf_svd_params.U_low";
    private static final String S = "osf_svd_params.S_low";
    private static final String V = "osf_svd_params.V_low";
    private static final String RANK = "effective_rank";
    private static final String PATTERNS = "rank_pattern";

    /**
     * How many terms stay.
     *
     * @param number terms, or a share of all of them
     */
    public record Kept(double number, boolean share) {
        private static final Kept HALF = new Kept(0.5, true);

        int of(Target target) {
            int all = Math.min(target.out(), target.in());
            return (int) Math.clamp(share ? all * number : number, 0, all);
        }

        private static Kept of(JsonDocument document, String field, JsonNode node) {
            if (!node.isNumber() || !(node.doubleValue() > 0) || node.doubleValue() > AdapterConfig.MOST_RANK) {
                throw document.wrong(
                        field, "a rank from 1 to " + AdapterConfig.MOST_RANK + ", or a fraction above 0 and up to 1.0");
            }
            boolean share = !node.isIntegralNumber() && node.doubleValue() <= 1;
            return new Kept(share ? node.doubleValue() : Math.floor(node.doubleValue()), share);
        }

        private void describe(ObjectNode config, String field) {
            if (share) {
                config.put(field, number);
            } else {
                ModuleNumbers.put(config, field, number);
            }
        }
    }

    /** A regular expression, and k of the modules in whose names it is found. */
    public record Pattern(String text, ModulePattern search, Kept kept) {}

    private static Osf of(AdapterConfig config) {
        JsonDocument document = config.document();
        JsonNode rank = document.json().path(RANK);
        Kept kept = document.has(RANK) ? Kept.of(document, RANK, rank) : Kept.HALF;
        JsonNode others = document.json().path(PATTERNS);
        if (document.says(PATTERNS) && !others.isObject()) {
            throw document.wrong(PATTERNS, "a rank for each module pattern");
        }
        List<Pattern> patterns = new ArrayList<>();
        others.properties()
                .forEach(entry -> patterns.add(new Pattern(
                        entry.getKey(),
                        ModulePattern.of(
                                document, PATTERNS, ".*(?:" + entry.getKey() + ").*", "regular expressions as keys"),
                        Kept.of(document, PATTERNS, entry.getValue()))));
        return new Osf(kept, List.copyOf(patterns));
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public List<String> partNames() {
        return List.of(U, S, V);
    }

    @Override
    public Set<String> configFields() {
        return Set.of(RANK, PATTERNS, "init_weights", "target_svd_config");
    }

    private int kept(Target target) {
        return patterns.stream()
                .filter(pattern -> pattern.search().matches(target.module()))
                .findFirst()
                .map(Pattern::kept)
                .orElse(kept)
                .of(target);
    }

    @Override
    public int rank(Target target) {
        return Math.min(target.out(), target.in()) - kept(target);
    }

    @Override
    public boolean hasLowRankDelta() {
        return false;
    }

    @Override
    public Optional<String> untrainable() {
        return Optional.of("its gradients are projected away from the base's first singular vectors, which adapt's"
                + " optimizers do not do; train it with PEFT and merge it here");
    }

    @Override
    public Optional<String> undefined(Target target) {
        if (!(target.storage() instanceof Storage.Linear)) {
            return Optional.of("is no linear layer, and OSF adapts those");
        }
        int all = Math.min(target.out(), target.in());
        int kept = kept(target);
        return kept > 0 && kept < all
                ? Optional.empty()
                : Optional.of("has " + all + " singular values, of which 1 to " + (all - 1) + " can be kept, not "
                        + kept + "; correct " + RANK + " in " + AdapterConfig.FILE);
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        int rank = rank(target);
        // no start is drawn: it is not trained here
        return List.of(
                Part.trained(U, Shape.of(target.out(), rank), new Initial.Constant(0)),
                Part.trained(S, Shape.of(rank), new Initial.Constant(0)),
                Part.trained(V, Shape.of(rank, target.in()), new Initial.Constant(0)));
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        int kept = kept(target);
        return WeightChange.of(Delta.Dense.whole(() -> {
            T replaced = ops.computed(weight.get(), w -> rest(w, kept));
            T own = ops.matMul(ops.mul(part.apply(U), ops.reshape(part.apply(S), 1, -1)), part.apply(V));
            return ops.subtract(own, replaced);
        }));
    }

    /** The terms of a matrix's decomposition after the first {@code kept}. */
    private static DoubleTensor rest(DoubleTensor weight, int kept) {
        Svd svd = Svd.of(weight);
        int columns = Math.toIntExact(weight.shape().dim(1));
        double[] rest = new double[weight.values().length];
        for (int k = kept; k < svd.values().length; k++) {
            double[] left = svd.left()[k];
            double[] right = svd.right()[k];
            for (int row = 0; row < left.length; row++) {
                double scaled = svd.values()[k] * left[row];
                for (int column = 0; column < columns; column++) {
                    rest[row * columns + column] += scaled * right[column];
                }
            }
        }
        return new DoubleTensor(weight.shape(), rest);
    }

    @Override
    public void describe(ObjectNode config) {
        kept.describe(config, RANK);
        ObjectNode others = config.putObject(PATTERNS);
        patterns.forEach(pattern -> pattern.kept().describe(others, pattern.text()));
        config.put("init_weights", true);
        config.putNull("target_svd_config");
    }
}
