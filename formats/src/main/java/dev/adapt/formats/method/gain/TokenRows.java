package dev.adapt.formats.method.gain;

import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.Region;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * New rows of an embedding table, in the place of those of some tokens; of a head the rows of its outputs.
 *
 * @param tokens their ids; of one that is named twice the last row counts
 */
record TokenRows(List<Integer> tokens) {
    TokenRows {
        tokens = List.copyOf(tokens);
    }

    /** The number of words of a table or head. */
    private static int words(Target target) {
        return target.embedding() ? target.in() : target.out();
    }

    private static int width(Target target) {
        return target.embedding() ? target.out() : target.in();
    }

    /** What keeps the rows from a target. */
    Optional<String> undefined(Target target) {
        return tokens.stream()
                .filter(token -> token >= words(target))
                .findFirst()
                .map(token -> "has " + words(target) + " rows, and token " + token + " is to be replaced");
    }

    /** The new rows [n, width]; they start as the old ones. */
    Part part(String name, Target target) {
        return Part.trained(
                name,
                Shape.of(tokens.size(), width(target)),
                new Initial.Derived((part, weight) -> rows(target.embedding() ? weight.transposed() : weight)));
    }

    private FloatTensor rows(FloatTensor table) {
        int width = (int) table.shape().dim(1);
        float[] rows = new float[tokens.size() * width];
        for (int i = 0; i < tokens.size(); i++) {
            System.arraycopy(table.values(), tokens.get(i) * width, rows, i * width, width);
        }
        return new FloatTensor(Shape.of(tokens.size(), width), rows);
    }

    /** The change of a target. */
    <T> WeightChange<T> change(MatrixOps<T> ops, Target target, T rows) {
        T nothing = ops.constant(new FloatTensor(Shape.of(1, width(target)), new float[width(target)]));
        T table = ops.concat(0, List.of(rows, nothing));
        return WeightChange.of(new Delta.Transform<>(
                Delta.Scope.ELEMENT, (tile, w, region) -> changed(tile, target, table, w, region)));
    }

    private <T> T changed(MatrixOps<T> ops, Target target, T table, T weight, Region region) {
        boolean across = target.embedding();
        int first = across ? region.column() : region.row();
        int count = across ? region.columns() : region.rows();
        long[] at = new long[count];
        Arrays.fill(at, tokens.size());
        float[] kept = new float[count];
        Arrays.fill(kept, 1);
        List<Integer> inside = new ArrayList<>();
        for (int i = 0; i < tokens.size(); i++) {
            int place = tokens.get(i) - first;
            if (place >= 0 && place < count) {
                at[place] = i;
                kept[place] = 0;
                inside.add(i);
            }
        }
        if (inside.isEmpty()) {
            return weight;
        }
        T own = ops.embedding(table, ops.integers(at));
        T rows = across
                ? ops.transpose(ops.slice(own, 1, region.row(), region.rowEnd()), 1, 0)
                : ops.slice(own, 1, region.column(), region.columnEnd());
        T mask = ops.constant(new FloatTensor(across ? Shape.of(1, count) : Shape.of(count, 1), kept));
        return ops.add(ops.mul(weight, mask), rows);
    }
}
