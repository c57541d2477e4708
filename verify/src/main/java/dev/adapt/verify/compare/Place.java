package dev.adapt.verify.compare;

import java.util.List;
import java.util.Locale;

/**
 * The element where two outputs differ most.
 *
 * @param batch counted from 1
 * @param output the output's name
 * @param index the element's index in the output, outermost axis first, counted from 0
 * @param left the value of one form
 * @param right the value of the other
 */
public record Place(int batch, String output, List<Long> index, double left, double right) {
    public Place {
        index = List.copyOf(index);
    }

    @Override
    public String toString() {
        return String.format(Locale.ROOT, "%s%s of batch %d: %.6g and %.6g", output, index, batch, left, right);
    }
}
