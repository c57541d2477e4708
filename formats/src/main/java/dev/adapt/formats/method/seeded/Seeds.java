package dev.adapt.formats.method.seeded;

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

    /** The largest width of the inputs of these layers. */
    static int in(List<Target> all) {
        return all.stream().mapToInt(Target::in).max().orElseThrow();
    }

    /** The largest width of their outputs. */
    static int out(List<Target> all) {
        return all.stream().mapToInt(Target::out).max().orElseThrow();
    }

    /** A projection is frozen: a rank over the narrower side still buys trained scales. */
    static Optional<String> misfit(int rank, Target target) {
        return target.unlessRank(rank, Math.max(target.in(), target.out()));
    }

    /** One layer as wide as shared matrices A [.., in] and B [out, ..]; none where one is missing or no such matrix. */
    static List<Target> widest(@Nullable Tensor a, @Nullable Tensor b) {
        if (a == null || b == null || !isMatrix(a) || !isMatrix(b)) {
            return List.of();
        }
        int in = (int) a.shape().dim(a.shape().rank() - 1);
        return List.of(new Target("", "", "", (int) b.shape().dim(0), in, false));
    }

    /** Whether it has rows and columns, and elements: a shape without any may be of any size. */
    private static boolean isMatrix(Tensor tensor) {
        long elements = tensor.shape().elements();
        return tensor.shape().rank() >= 2 && elements > 0 && elements <= Integer.MAX_VALUE;
    }
}
