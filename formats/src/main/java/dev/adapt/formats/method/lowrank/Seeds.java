package dev.adapt.formats.method.lowrank;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.random.Rounding;
import dev.adapt.formats.tensor.Tensor;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** What methods with a seed have in common. */
final class Seeds {
    private static final String ROUNDING = "adapt.rounding";

    private Seeds() {}

    /**
     * The seed in a field.
     *
     * @throws dev.adapt.formats.FormatException if it is no integer
     */
    static long of(AdapterConfig config, String field, long usual) {
        JsonNode seed = config.document().json().path(field);
        if (!config.document().has(field)) {
            return usual;
        }
        if (!seed.isIntegralNumber() || !seed.canConvertToLong()) {
            throw config.document().wrong(field, "an integer");
        }
        return seed.longValue();
    }

    /** The rounding that a file's metadata tell; where they tell none, that of current processors. */
    static Rounding rounding(Map<String, String> metadata) {
        return "unfused".equals(metadata.get(ROUNDING)) ? Rounding.UNFUSED : Rounding.FMA;
    }

    static Map<String, String> metadata(Rounding rounding) {
        return Map.of(ROUNDING, rounding.name().toLowerCase(Locale.ROOT));
    }

    static Rounding other(Rounding rounding) {
        return rounding == Rounding.FMA ? Rounding.UNFUSED : Rounding.FMA;
    }

    /** A projection is frozen: a rank over the narrower side still buys trained scales. */
    static Optional<String> misfit(int rank, Target target) {
        int most = Math.max(target.in(), target.out());
        return rank <= most
                ? Optional.empty()
                : Optional.of("is [" + target.out() + ", " + target.in() + "], which takes a rank of 1 to " + most
                        + ", not " + rank);
    }

    /** One layer as wide as shared matrices A [.., in] and B [out, ..]; none where one is missing. */
    static List<Target> widest(@Nullable Tensor a, @Nullable Tensor b) {
        if (a == null || b == null) {
            return List.of();
        }
        int in = Math.toIntExact(a.shape().dim(a.shape().rank() - 1));
        return List.of(new Target("", "", "", Math.toIntExact(b.shape().dim(0)), in, false));
    }
}
