package dev.adapt.merge.lowrank;

/** How much of a decomposition is kept. */
public sealed interface Cut {
    /** So many singular values, all of them where there are fewer. */
    record Rank(int rank) implements Cut {
        public Rank {
            if (rank < 1) {
                throw new IllegalArgumentException("rank " + rank);
            }
        }
    }

    /** The fewest singular values whose squares hold this share of the sum of all, more than 0 and at most 1. */
    record Energy(double share) implements Cut {
        public Energy {
            if (!(share > 0 && share <= 1)) {
                throw new IllegalArgumentException("share " + share);
            }
        }
    }

    /** What is kept of a whole decomposition. */
    default Svd of(Svd whole) {
        return switch (this) {
            case Rank(int rank) -> whole.truncated(rank);
            case Energy(double share) -> whole.truncated(whole.rankOf(share, whole.squaredNorm()));
        };
    }

    /** What is kept of a matrix, which is decomposed no further than that takes. */
    default Svd of(Rows matrix) {
        return switch (this) {
            case Rank(int rank) -> Svd.leading(matrix, rank);
            case Energy(double share) -> leading(matrix, share);
        };
    }

    private static Svd leading(Rows matrix, double share) {
        double whole = matrix.squaredNorm();
        int all = Math.min(matrix.rows(), matrix.columns());
        Svd svd = Svd.leading(matrix, Math.min(all, 32));
        while (svd.rankOf(share, whole) > svd.rank() && svd.rank() < all) {
            svd = Svd.leading(matrix, Math.min(all, 2 * svd.rank()));
        }
        return svd.truncated(svd.rankOf(share, whole));
    }
}
