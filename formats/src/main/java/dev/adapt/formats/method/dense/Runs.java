package dev.adapt.formats.method.dense;

import java.util.ArrayList;
import java.util.List;

/**
 * Neighbouring blocks of one size along an axis, of each of which a range lies in a region.
 *
 * @param first the first block
 * @param count the number of blocks; more than one only where all of each is meant
 * @param from the first element of each block
 * @param to the end of the elements of each block, exclusive
 */
record Runs(int first, int count, int from, int to) {
    /** The blocks of elements {@code from} to {@code to} (exclusive): part of one, whole ones, part of one. */
    static List<Runs> of(int from, int to, int size) {
        List<Runs> runs = new ArrayList<>();
        int at = from;
        while (at < to) {
            int block = at / size;
            int inside = at % size;
            int whole = inside == 0 ? (to - at) / size : 0;
            if (whole > 0) {
                runs.add(new Runs(block, whole, 0, size));
                at += whole * size;
            } else {
                int end = Math.min(size, inside + to - at);
                runs.add(new Runs(block, 1, inside, end));
                at += end - inside;
            }
        }
        return runs;
    }

    /** The end of its blocks, exclusive. */
    int end() {
        return first + count;
    }

    /** The elements of each block. */
    int size() {
        return to - from;
    }
}
