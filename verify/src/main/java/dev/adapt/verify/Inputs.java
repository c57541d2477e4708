package dev.adapt.verify;

import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Tokens;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/**
 * What models are compared on.
 *
 * @param description in words, for the report
 * @param batches inputs by name
 */
public record Inputs(String description, List<Map<String, Tensor>> batches) {
    private static final int LONGEST = 64;
    private static final int WIDEST = 4;

    /** The largest size of an axis that may have any, but for the batch and the sequence. */
    private static final int MOST = 12;

    public Inputs {
        batches = List.copyOf(batches);
    }

    /**
     * Random inputs for a model: token sequences in batches of 1 to 4, of 1 to 64 tokens or as many as the model takes,
     * padded on the right and masked there; the first batch is one token, the second as long as can be. For a model of
     * images or features, batches of 1 to 4 with normally distributed values.
     *
     * @param count how many sequences or images in all
     * @param tokenTypes whether to give token types; otherwise every model takes 0
     * @throws dev.adapt.formats.FormatException if the config's architecture is not supported
     */
    public static Inputs random(ModelConfig config, int count, long seed, boolean tokenTypes) {
        Architecture architecture = Architecture.of(config);
        return architecture
                .tokens()
                .map(tokens -> sequences(tokens, count, seed, tokenTypes))
                .orElseGet(() -> numbers(architecture.inputs(), count, seed));
    }

    private static Inputs numbers(List<InputSpec> inputs, int count, long seed) {
        Random random = new Random(seed);
        List<Map<String, Tensor>> batches = new ArrayList<>();
        for (int made = 0; made < count; ) {
            int batch = batches.isEmpty() ? 1 : Math.min(count - made, 1 + random.nextInt(WIDEST));
            Map<String, Long> sizes = new HashMap<>(Map.of("batch", (long) batch));
            Map<String, Tensor> numbers = new LinkedHashMap<>();
            for (InputSpec input : inputs) {
                Shape shape = Shape.of(input.axes().stream()
                        .mapToLong(axis -> size(axis, sizes, random))
                        .toArray());
                float[] values = new float[Math.toIntExact(shape.elements())];
                for (int i = 0; i < values.length; i++) {
                    values[i] = (float) random.nextGaussian();
                }
                numbers.put(input.name(), new FloatTensor(shape, values));
            }
            batches.add(numbers);
            made += batch;
        }
        String kind =
                inputs.size() == 1 ? "images" : "inputs of " + inputs.getFirst().name();
        String description = count + " random " + kind + " in " + batches.size() + " batches (seed " + seed + ")";
        return new Inputs(description, batches);
    }

    /** An axis of the same name has the same size in all inputs of a batch. */
    private static long size(String axis, Map<String, Long> sizes, Random random) {
        return axis.chars().allMatch(Character::isDigit)
                ? Long.parseLong(axis)
                : sizes.computeIfAbsent(axis, absent -> 1L + random.nextInt(MOST));
    }

    private static Inputs sequences(Tokens tokens, int sequences, long seed, boolean tokenTypes) {
        int longest = Math.min(LONGEST, tokens.longest());
        int types = tokenTypes ? tokens.types() : 1;
        Random random = new Random(seed);
        List<Map<String, Tensor>> batches = new ArrayList<>();
        for (int made = 0; made < sequences; ) {
            int batch = batches.isEmpty() ? 1 : Math.min(sequences - made, 1 + random.nextInt(WIDEST));
            int length = switch (batches.size()) {
                case 0 -> 1;
                case 1 -> longest;
                default -> 1 + random.nextInt(longest);
            };
            batches.add(batch(random, batch, length, tokens.vocabulary(), types));
            made += batch;
        }
        String description = sequences + " random sequences of 1 to " + longest + " tokens in " + batches.size()
                + " batches, padded and masked (seed " + seed + ")";
        return new Inputs(description, batches);
    }

    private static Map<String, Tensor> batch(Random random, int batch, int length, int vocabulary, int types) {
        Shape shape = Shape.of(batch, length);
        long[] ids = random.longs((long) batch * length, 0, vocabulary).toArray();
        long[] mask = new long[ids.length];
        long[] segments = new long[ids.length];
        for (int row = 0; row < batch; row++) {
            int start = row * length;
            int kept = row == 0 ? length : 1 + random.nextInt(length);
            Arrays.fill(mask, start, start + kept, 1);
            Arrays.fill(ids, start + kept, start + length, 0);
            if (types > 1) {
                Arrays.fill(segments, start + random.nextInt(kept + 1), start + kept, 1);
            }
        }
        Map<String, Tensor> inputs = new LinkedHashMap<>();
        inputs.put("input_ids", new LongTensor(shape, ids));
        inputs.put("attention_mask", new LongTensor(shape, mask));
        inputs.put("token_type_ids", new LongTensor(shape, segments));
        return inputs;
    }
}
