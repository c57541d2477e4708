package dev.adapt.merge.lowrank;

/**
 * The largest error that rounding to a dtype made.
 *
 * @param tensor where it is; empty where nothing was rounded
 * @param absolute the difference
 * @param relative the same as a share of the tensor's largest element
 */
public record Rounding(String tensor, double absolute, double relative) {
    public static final Rounding NONE = new Rounding("", 0, 0);

    public Rounding or(Rounding other) {
        return other.absolute > absolute ? other : this;
    }
}
