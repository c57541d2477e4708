package dev.adapt.train.data;

import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The tokens of one example, special tokens included.
 *
 * @param types 0 for a token of the first text, 1 for one of the second
 * @param cut whether there were more
 */
@SuppressWarnings("ArrayRecordComponent")
public record Sequence(long[] ids, long[] types, boolean cut) {
    /** Tokens of one text. */
    public Sequence(long[] ids) {
        this(ids, new long[ids.length], false);
    }

    public int length() {
        return ids.length;
    }

    /** No more than the first tokens. */
    public Sequence first(int count) {
        return count >= ids.length ? this : new Sequence(Arrays.copyOf(ids, count), Arrays.copyOf(types, count), true);
    }

    /**
     * How sequences of unequal length become inputs of one: padded on the right, and masked there.
     *
     * @param token the id that pads
     * @param types whether the model is given token types
     */
    public record Padding(long token, boolean types) {
        /** The inputs of a batch, each [batch, length of the longest]. */
        public Map<String, Tensor> inputs(List<Sequence> sequences) {
            int width = width(sequences);
            Shape shape = Shape.of(sequences.size(), width);
            long[] tokens = new long[sequences.size() * width];
            long[] mask = new long[tokens.length];
            long[] segments = new long[tokens.length];
            Arrays.fill(tokens, token);
            for (int row = 0; row < sequences.size(); row++) {
                Sequence own = sequences.get(row);
                System.arraycopy(own.ids(), 0, tokens, row * width, own.length());
                System.arraycopy(own.types(), 0, segments, row * width, own.length());
                Arrays.fill(mask, row * width, row * width + own.length(), 1);
            }
            Map<String, Tensor> inputs = new LinkedHashMap<>();
            inputs.put(TokenIds.FIELD, new LongTensor(shape, tokens));
            inputs.put("attention_mask", new LongTensor(shape, mask));
            if (types) {
                inputs.put("token_type_ids", new LongTensor(shape, segments));
            }
            return inputs;
        }

        /** The length of the longest. */
        public static int width(List<Sequence> sequences) {
            return sequences.stream().mapToInt(Sequence::length).max().orElse(0);
        }
    }
}
