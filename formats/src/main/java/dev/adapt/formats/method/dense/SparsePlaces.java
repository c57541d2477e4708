package dev.adapt.formats.method.dense;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.ModuleNumbers;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.random.Permutation;
import dev.adapt.formats.tensor.Shape;
import java.util.List;
import java.util.Optional;

/** Places in a matrix that a seed gives: the first of torch's random permutation of its elements. */
@SuppressWarnings("ArrayRecordComponent")
record SparsePlaces(int[] rows, int[] columns) {
    static final String COUNT = "n_frequency";
    static final String PATTERN = "n_frequency_pattern";
    static final String SEED = "random_loc_seed";

    static final int USUAL_COUNT = 1000;
    private static final int USUAL_SEED = 777;

    /** More than a matrix of 65536 by 1024 has. */
    private static final int MOST = 1 << 26;

    static SparsePlaces of(int count, Target target, long seed) {
        long[] drawn = Permutation.first(count, (long) target.out() * target.in(), seed);
        int[] rows = new int[count];
        int[] columns = new int[count];
        for (int i = 0; i < count; i++) {
            rows[i] = (int) (drawn[i] / target.in());
            columns[i] = (int) (drawn[i] % target.in());
        }
        return new SparsePlaces(rows, columns);
    }

    /**
     * How many places a module has.
     *
     * @param counts by the fields {@link #COUNT} and {@link #PATTERN} of the config
     */
    static ModuleNumbers checked(ModuleNumbers counts, AdapterConfig config) {
        config.document().integer(COUNT, USUAL_COUNT, 1, MOST);
        for (double count : counts.patterns().numbers().values()) {
            if (count < 1 || count > MOST || count != Math.rint(count)) {
                throw config.document().wrong(PATTERN, "integers from 1 to " + MOST);
            }
        }
        return counts;
    }

    static long seed(AdapterConfig config) {
        return config.document().whole(SEED).orElse((long) USUAL_SEED);
    }

    /** The trained entries, {@code count} of them: 0, or normal, at first. */
    static List<Part> parts(String name, int count, boolean startsAtZero, double deviation) {
        Initial start = startsAtZero ? new Initial.Constant(0) : new Initial.Normal(deviation);
        return List.of(Part.trained(name, Shape.of(count), start));
    }

    static void describe(ObjectNode config, ModuleNumbers counts, long seed) {
        counts.describe(config, COUNT, PATTERN);
        config.put(SEED, seed);
    }

    /** What keeps a target from having so many places. */
    static Optional<String> undefined(int count, Target target) {
        return count < (long) target.out() * target.in()
                ? Optional.empty()
                : Optional.of("is " + target.shape() + ", which has not more than " + count
                        + " elements; give a smaller " + COUNT);
    }
}
