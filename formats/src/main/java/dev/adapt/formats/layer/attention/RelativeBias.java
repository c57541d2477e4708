package dev.adapt.formats.layer.attention;

import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.Tensors;

/**
 * Learned biases of attention scores by the distance between two tokens (Raffel et al., arXiv 1910.10683, section 2.1).
 *
 * @param module the table of a bias for each bucket of distances and each head, [buckets, heads]
 * @param mutual whether tokens ahead have buckets of their own; otherwise all of them are in the first
 * @param longest the distance from which on all are in one bucket
 */
public record RelativeBias(String module, int heads, int buckets, boolean mutual, int longest) {
    void addTensors(Tensors tensors) {
        tensors.matrix(module, buckets, heads);
    }

    /**
     * The biases [1, heads, sequence, keys].
     *
     * @param distances integers [1, sequence, keys]
     */
    <T> T apply(Layers<T> model, T distances) {
        Ops<T> ops = model.ops();
        T ofDistance = model.embedding(ops.integers(bucketsOfDistances()), module);
        T rows = ops.add(ops.clampIntegers(distances, -longest, longest), ops.integer(longest));
        return ops.transpose(ops.embedding(ofDistance, rows), 0, 3, 1, 2);
    }

    /** The bucket of each distance from -longest to longest. */
    private long[] bucketsOfDistances() {
        long[] found = new long[2 * longest + 1];
        for (int i = 0; i < found.length; i++) {
            found[i] = bucket(i - longest);
        }
        return found;
    }

    private int bucket(int ahead) {
        int count = mutual ? buckets / 2 : buckets;
        int first = mutual && ahead > 0 ? count : 0;
        int away = mutual ? Math.abs(ahead) : Math.max(-ahead, 0);
        int exact = count / 2;
        if (away < exact) {
            return first + away;
        }
        // in float32, as transformers computes it
        float ratio = (float) Math.log((float) away / exact) / (float) Math.log((float) longest / exact);
        return first + Math.min(exact + (int) (ratio * (count - exact)), count - 1);
    }
}
