package dev.adapt.formats.algebra;

import java.util.Optional;
import java.util.function.Supplier;

/** What a {@link WeightChange} makes of a weight W [out, in], between its gains. */
public sealed interface Delta<T> permits LowRank, Delta.None, Delta.Dense, Delta.Transform {
    /** Nothing: W itself. */
    record None<T>() implements Delta<T> {}

    /**
     * {@code W + ΔW}, for a ΔW that does not depend on W and is no product of low rank.
     *
     * @param scope of how much of ΔW is best computed together; any part of it can be
     */
    record Dense<T>(Scope scope, Block<T> block) implements Delta<T> {
        /** ΔW of which each element is computed alone. */
        public Dense(Block<T> block) {
            this(Scope.ELEMENT, block);
        }

        /** ΔW of which no part can be computed alone; computed once, when it is first asked for. */
        public static <T> Dense<T> whole(Supplier<T> matrix) {
            Once<T> once = new Once<>(matrix);
            return new Dense<>((ops, region) -> region.of(ops, once.get()));
        }
    }

    /**
     * Any function of W.
     *
     * @param scope how much of W an element of the result depends on
     */
    record Transform<T>(Scope scope, Changed<T> changed) implements Delta<T> {}

    /**
     * How much of W an element of a transformed weight depends on. W is cut into runs of {@code rows} rows, from the first on:
     * it is the run that the element is in, and of that its column or all columns.
     *
     * @param across whether it is all columns
     */
    record Scope(int rows, boolean across) {
        /** The element in its place. */
        public static final Scope ELEMENT = new Scope(1, false);

        /** The row it is in. */
        public static final Scope ROW = new Scope(1, true);

        /** All of W. */
        public static final Scope MATRIX = new Scope(Integer.MAX_VALUE, true);

        /** A scope that has room for both. */
        public Scope and(Scope other) {
            long common = (long) rows / divisor(rows, other.rows) * other.rows;
            return new Scope((int) Math.min(common, Integer.MAX_VALUE), across || other.across);
        }

        private static int divisor(int one, int other) {
            return other == 0 ? one : divisor(other, one % other);
        }
    }

    /** Part of ΔW. */
    interface Block<T> {
        /** ΔW in a region, [region.rows, region.columns]. */
        T of(MatrixOps<T> ops, Region region);
    }

    /** Part of a transformed weight. */
    interface Changed<T> {
        /**
         * The transformed weight in a region.
         *
         * @param weight W in that region, which is as large as the scope asks
         */
        T of(MatrixOps<T> ops, T weight, Region region);
    }

    /** A value that is computed when it is first asked for. */
    final class Once<T> implements Supplier<T> {
        private final Supplier<T> source;
        private Optional<T> value = Optional.empty();

        public Once(Supplier<T> source) {
            this.source = source;
        }

        @Override
        public synchronized T get() {
            if (value.isEmpty()) {
                value = Optional.of(source.get());
            }
            return value.get();
        }
    }
}
