package dev.adapt.formats.diff;

import java.util.OptionalLong;

/**
 * How far the elements of two tensors are apart. A NaN is infinitely far from any number and equal to any NaN; zeros of
 * either sign are equal. Where the dtype's numbers are unknown, nothing is near.
 *
 * @param elements how many were compared
 * @param differing how many are not the same: bits where the dtypes are equal, values where not
 * @param absolute the largest difference
 * @param ulps the largest distance in units in the last place of the narrower dtype: how many of its numbers lie between
 *     the two, plus one; empty where the elements are no floating-point numbers
 * @param at the element of the largest difference, the first of equals, counted row-major from 0
 */
public record ValueDifference(long elements, long differing, double absolute, OptionalLong ulps, long at) {
    /** The difference of elements that are all the same. */
    static ValueDifference none(long elements) {
        return new ValueDifference(elements, 0, 0, OptionalLong.empty(), 0);
    }

    /** This of the elements before, and {@code next} of those after. */
    ValueDifference and(ValueDifference next) {
        boolean later = next.absolute > absolute || differing == 0;
        OptionalLong most = ulps.isEmpty()
                ? next.ulps
                : next.ulps.isEmpty() ? ulps : OptionalLong.of(Math.max(ulps.getAsLong(), next.ulps.getAsLong()));
        return new ValueDifference(
                elements + next.elements,
                differing + next.differing,
                Math.max(absolute, next.absolute),
                most,
                later ? next.at : at);
    }
}
