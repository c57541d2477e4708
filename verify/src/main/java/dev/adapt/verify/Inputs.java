package dev.adapt.verify;

import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.graph.Tokens;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Random;

/**
 * What models are compared on.
 *
 * @param description in words, for the report
 * @param batches inputs by name
 * @param seed of random inputs
 * @param lengths of token sequences
 */
public record Inputs(
        String description, List<Map<String, Tensor>> batches, OptionalLong seed, Optional<Lengths> lengths) {
    /**
     * How far into the model's positions the inputs reach.
     *
     * @param longest the tokens of the longest sequence
     * @param model the most tokens the model takes
     */
    public record Lengths(int longest, int model) {}

    /**
     * How much to run.
     *
     * @param count random sequences or images, those that are always run not counted
     * @param seed of all that is random
     * @param tokenTypes whether to give token types; otherwise every model takes 0
     * @param thorough whether to run every token of the vocabulary, every length up to the usual one, and more of all else
     */
    public record Size(int count, long seed, boolean tokenTypes, boolean thorough) {}

    /** The longest sequence but one. */
    private static final int USUAL = 64;

    /** The longest sequence of all: beyond it attention scores, quadratic in it, would take gigabytes in float64. */
    private static final int LONGEST = 1024;

    /** Multiplications in the linear layers that one long sequence may take: about a minute in float64. */
    private static final long BUDGET = 60_000_000_000L;

    private static final int WIDEST = 4;

    /** How many times as many sequences a thorough run takes, and how much larger its largest batch is. */
    private static final int THOROUGH = 4;

    /** The tokens that a thorough run shows of a vocabulary, in sequences of the usual length. */
    private static final int MOST_TOKENS = 1 << 15;

    /** The largest size of an axis that may have any, but for the batch and the sequence. */
    private static final int MOST = 12;

    public Inputs {
        batches = List.copyOf(batches);
    }

    /** Inputs that a user gave. */
    public static Inputs given(String description, List<Map<String, Tensor>> batches, Tokens tokens) {
        int longest = batches.stream()
                .map(batch -> batch.get(InputSpec.MASK.name()))
                .filter(Objects::nonNull)
                .mapToInt(mask -> (int) mask.shape().dim(1))
                .max()
                .orElse(0);
        return new Inputs(
                description, batches, OptionalLong.empty(), Optional.of(new Lengths(longest, tokens.longest())));
    }

    /** Random inputs of the default size. */
    public static Inputs random(ModelConfig config, int count, long seed, boolean tokenTypes) {
        return random(config, new Size(count, seed, tokenTypes, false));
    }

    /**
     * Random inputs for a model: token sequences in batches of 1 to 4, of 1 to 64 tokens, padded on the right, in every
     * third batch on the left, and masked there; the first batch is one token. After them come, always:
     *
     * <ul>
     *   <li>two batches of three rows, padded on the right and on the left, of which one row is a single token;
     *   <li>one sequence of the model's full length, shorter only where that would take minutes or gigabytes, which begins
     *       with the first and the last token of the vocabulary;
     *   <li>for a classifier that is defined there, one sequence whose tokens are all masked.
     * </ul>
     *
     * For a model of images or features, batches of 1 to 4 with normally distributed values.
     *
     * @throws dev.adapt.formats.FormatException if the config's architecture is not supported
     */
    public static Inputs random(ModelConfig config, Size size) {
        Architecture architecture = Architecture.of(config);
        return architecture
                .tokens()
                .map(tokens -> sequences(architecture, tokens, size))
                .orElseGet(() -> numbers(architecture.inputs(), size));
    }

    /** Random token sequences for a model of which no more is known than what it takes. */
    public static Inputs random(Tokens tokens, Size size) {
        return sequences(tokens, Math.min(LONGEST, tokens.longest()), false, size);
    }

    private static Inputs numbers(List<InputSpec> inputs, Size size) {
        int count = size.thorough() ? THOROUGH * size.count() : size.count();
        Random random = new Random(size.seed());
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
        String description =
                count + " random " + kind + " in " + batches.size() + " batches (seed " + size.seed() + ")";
        return new Inputs(description, batches, OptionalLong.of(size.seed()), Optional.empty());
    }

    /** An axis of the same name has the same size in all inputs of a batch. */
    private static long size(String axis, Map<String, Long> sizes, Random random) {
        return axis.chars().allMatch(Character::isDigit)
                ? Long.parseLong(axis)
                : sizes.computeIfAbsent(axis, absent -> 1L + random.nextInt(MOST));
    }

    private static Inputs sequences(Architecture architecture, Tokens tokens, Size size) {
        int longest = Math.max(Math.min(USUAL, tokens.longest()), longest(architecture, tokens));
        // the mean over no tokens is not defined, nor is any token's own state
        boolean masked = architecture
                .head()
                .filter(head -> head.pooling() != Pooling.MEAN)
                .isPresent();
        return sequences(tokens, longest, masked, size);
    }

    private static Inputs sequences(Tokens tokens, int longest, boolean masked, Size size) {
        int usual = Math.min(USUAL, tokens.longest());
        int count = size.thorough() ? THOROUGH * size.count() : size.count();
        int widest = size.thorough() ? THOROUGH * WIDEST : WIDEST;
        Sequences random =
                new Sequences(new Random(size.seed()), tokens.vocabulary(), size.tokenTypes() ? tokens.types() : 1);
        List<Map<String, Tensor>> batches = new ArrayList<>();
        for (int made = 0; made < count; ) {
            int batch = batches.isEmpty() ? 1 : Math.min(count - made, 1 + random.below(widest));
            int length = switch (batches.size()) {
                case 0 -> 1;
                case 1 -> usual;
                default -> 1 + random.below(usual);
            };
            boolean left = !batches.isEmpty() && batches.size() % 3 == 0;
            batches.add(random.batch(batch, length, left));
            made += batch;
        }
        StringBuilder description = new StringBuilder(count + " random sequences of 1 to " + usual + " tokens in "
                + batches.size() + " batches, padded and masked, and one of " + longest + " tokens, ");
        batches.add(random.edges(usual, false));
        batches.add(random.edges(usual, true));
        batches.add(random.whole(longest));
        description.append(
                longest == tokens.longest()
                        ? "the model's full length"
                        : "of the model's " + tokens.longest() + ": later positions were not run");
        if (masked) {
            batches.add(random.masked(usual));
            description.append(", and one with all tokens masked");
        }
        if (size.thorough()) {
            for (int length = 1; length <= usual; length++) {
                batches.add(random.batch(2, length, length % 2 == 0));
            }
            int shown = Math.min(MOST_TOKENS, tokens.vocabulary());
            for (int from = 0; from < shown; from += usual) {
                batches.add(random.run(from, Math.min(shown, from + usual)));
            }
            description
                    .append(", every length, and ")
                    .append(shown == tokens.vocabulary() ? "all" : "the first " + shown)
                    .append(" tokens of the vocabulary");
        }
        return new Inputs(
                description + " (seed " + size.seed() + ")",
                batches,
                OptionalLong.of(size.seed()),
                Optional.of(new Lengths(longest, tokens.longest())));
    }

    /** The longest sequence that can be run in a minute or so. */
    private static int longest(Architecture architecture, Tokens tokens) {
        Map<String, Shape> tensors = architecture.requiredTensors();
        long products = architecture.linearModules().stream()
                .map(module -> tensors.get(module + ".weight"))
                .filter(Objects::nonNull)
                .mapToLong(Shape::elements)
                .sum();
        long affordable = Math.min(LONGEST, BUDGET / Math.max(1, products));
        return (int) Math.min(tokens.longest(), affordable);
    }
}
