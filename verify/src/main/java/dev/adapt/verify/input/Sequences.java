package dev.adapt.verify.input;

import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;

/** Random token sequences: ids below {@code vocabulary}, token types below 2 where {@code types} is more than 1. */
record Sequences(Random random, int vocabulary, int types) {
    int below(int bound) {
        return random.nextInt(bound);
    }

    /** Sequences of which the first fills the length, and the others are padded on one side. */
    Map<String, Tensor> batch(int batch, int length, boolean left) {
        long[] ids = random.longs((long) batch * length, 0, vocabulary).toArray();
        long[] mask = new long[ids.length];
        long[] segments = new long[ids.length];
        for (int row = 0; row < batch; row++) {
            int kept = row == 0 ? length : 1 + random.nextInt(length);
            int start = row * length + (left ? length - kept : 0);
            Arrays.fill(mask, start, start + kept, 1);
            if (types > 1) {
                Arrays.fill(segments, start + random.nextInt(kept + 1), start + kept, 1);
            }
        }
        for (int i = 0; i < ids.length; i++) {
            ids[i] *= mask[i];
        }
        return inputs(Shape.of(batch, length), ids, mask, segments);
    }

    /** Three sequences that fill the length, are one token, and are any number of tokens, padded on one side. */
    Map<String, Tensor> edges(int length, boolean left) {
        int[] kept = {length, 1, 1 + random.nextInt(length)};
        long[] ids = random.longs((long) kept.length * length, 0, vocabulary).toArray();
        long[] mask = new long[ids.length];
        long[] segments = new long[ids.length];
        for (int row = 0; row < kept.length; row++) {
            int start = row * length + (left ? length - kept[row] : 0);
            Arrays.fill(mask, start, start + kept[row], 1);
            if (types > 1) {
                Arrays.fill(segments, start + kept[row] / 2, start + kept[row], 1);
            }
        }
        for (int i = 0; i < ids.length; i++) {
            ids[i] *= mask[i];
        }
        return inputs(Shape.of(kept.length, length), ids, mask, segments);
    }

    /** One sequence of the ids {@code from} to {@code to}, in a random order. */
    Map<String, Tensor> run(int from, int to) {
        long[] ids = new long[to - from];
        for (int i = 0; i < ids.length; i++) {
            int other = random.nextInt(i + 1);
            ids[i] = ids[other];
            ids[other] = (long) from + i;
        }
        long[] mask = new long[ids.length];
        Arrays.fill(mask, 1);
        return inputs(Shape.of(1, ids.length), ids, mask, new long[ids.length]);
    }

    /** One sequence without padding; its first two ids are the smallest and the largest. */
    Map<String, Tensor> whole(int length) {
        long[] ids = random.longs(length, 0, vocabulary).toArray();
        ids[0] = 0;
        ids[Math.min(1, length - 1)] = vocabulary - 1L;
        long[] mask = new long[length];
        Arrays.fill(mask, 1);
        long[] segments = new long[length];
        if (types > 1) {
            Arrays.fill(segments, random.nextInt(length), length, 1);
        }
        return inputs(Shape.of(1, length), ids, mask, segments);
    }

    /** One sequence of nothing but padding. */
    Map<String, Tensor> masked(int length) {
        return inputs(Shape.of(1, length), new long[length], new long[length], new long[length]);
    }

    private static Map<String, Tensor> inputs(Shape shape, long[] ids, long[] mask, long[] segments) {
        Map<String, Tensor> inputs = new LinkedHashMap<>();
        inputs.put(InputSpec.IDS.name(), new LongTensor(shape, ids));
        inputs.put(InputSpec.MASK.name(), new LongTensor(shape, mask));
        inputs.put("token_type_ids", new LongTensor(shape, segments));
        return inputs;
    }
}
