package dev.adapt.formats.layer.attention;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.graph.Limits;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * Rotary position embeddings (Su et al., arXiv 2104.09864), with the ways to stretch them to longer texts that checkpoints
 * use.
 *
 * @param width how many of a head's elements turn, its first
 * @param interleaved whether elements 2i and 2i + 1 turn as a pair, as in Cohere and GPT-J, and not i and i + width/2
 * @param scale what cosines and sines are multiplied with
 */
public record Rope(int width, boolean interleaved, Frequencies frequencies, double scale) {
    /** Since version 5, transformers has all options in one place, the base included; the old field goes before it. */
    private static final String NEW_FIELD = "rope_parameters";

    private static final String OLD_FIELD = "rope_scaling";
    private static final String BASE = "rope_theta";
    private static final String PART = "partial_rotary_factor";
    private static final String TRAINED = "original_max_position_embeddings";

    /**
     * What a family's config means, and where it says so.
     *
     * @param baseField the config's own field of the base
     * @param base without that field
     * @param partField the config's own field of the part of a head that turns; empty if the family's class turns whole heads
     * @param part without that field
     */
    public record Defaults(
            String baseField, double base, Optional<String> partField, double part, boolean interleaved) {
        public static final Defaults LLAMA = whole(10_000, false);

        /** Whole heads turn. */
        public static Defaults whole(double base, boolean interleaved) {
            return new Defaults(BASE, base, Optional.empty(), 1, interleaved);
        }

        /** A part of each head turns. */
        public static Defaults part(double part, boolean interleaved) {
            return new Defaults(BASE, 10_000, Optional.of(PART), part, interleaved);
        }

        /** The same with another name of the base's field. */
        public Defaults baseIn(String field, double usual) {
            return new Defaults(field, usual, partField, part, interleaved);
        }

        /** The same with another name of the part's field. */
        public Defaults partIn(String field) {
            return new Defaults(baseField, base, Optional.of(field), part, interleaved);
        }
    }

    /** How fast each pair of elements turns, in radians per position. */
    sealed interface Frequencies {
        /** The same in every run. */
        record Fixed(FloatTensor values) implements Frequencies {}

        /**
         * NTK-aware scaling: from a length on, the base grows with the sequence (arXiv 2309.00071, section 3.1). Keys that
         * are kept stay as they turned when they were computed, as in transformers; without a cache all turn anew.
         *
         * @param plain the frequencies up to {@code longest} tokens
         */
        record Dynamic(FloatTensor plain, double factor, int longest) implements Frequencies {}

        /** LongRoPE (Ding et al., arXiv 2402.13753): other frequencies for sequences longer than {@code longest}. */
        record Switched(FloatTensor within, FloatTensor beyond, int longest) implements Frequencies {}
    }

    /**
     * The embeddings that a config describes.
     *
     * @param headWidth of a head, which may turn in part
     * @throws dev.adapt.formats.FormatException if it asks for a kind that is not supported
     */
    public static Rope of(JsonDocument config, int headWidth, Defaults defaults) {
        String field = field(config);
        if (config.json().path(field).properties().stream()
                .anyMatch(option -> option.getValue().isObject())) {
            throw config.wrong(field, "the same options for all layers, for this model_type");
        }
        return of(config, field, options(config, field), headWidth, defaults);
    }

    /**
     * The embeddings of one type of layers, in a family whose config describes each type.
     *
     * @param layerType whose
     * @param scaled whether the old field, which has no types, means this one
     */
    public static Rope of(JsonDocument config, String layerType, boolean scaled, int headWidth, Defaults defaults) {
        JsonDocument types = options(config, NEW_FIELD);
        JsonDocument options = options(types, layerType);
        if (scaled) {
            options.json().setAll(options(config, OLD_FIELD).json());
        }
        // here the config's own field of the trained length is not read
        JsonDocument own =
                new JsonDocument(config.path(), config.json().deepCopy().without(TRAINED));
        return of(own, scaled && config.says(OLD_FIELD) ? OLD_FIELD : NEW_FIELD, options, headWidth, defaults);
    }

    /** A config whose rope_type, where it is one of these, is another that means the same for its model_type. */
    public static JsonDocument withType(JsonDocument config, List<String> types, String meant) {
        JsonDocument options = options(config, field(config));
        if (!types.contains(type(options))) {
            return config;
        }
        ObjectNode changed = config.json().deepCopy();
        changed.set(field(config), options.json().put("rope_type", meant));
        return new JsonDocument(config.path(), changed);
    }

    /** A copy of the options in a field; empty where it says nothing. */
    private static JsonDocument options(JsonDocument config, String field) {
        ObjectNode own =
                config.says(field) ? config.object(field).json().deepCopy() : JsonNodeFactory.instance.objectNode();
        return new JsonDocument(config.path(), own);
    }

    /** How many elements of a head turn. */
    private static int turning(JsonDocument config, JsonDocument options, int headWidth, Defaults defaults) {
        double usual = config.number(defaults.partField().orElse(PART), defaults.part());
        int part = (int) (headWidth * options.number(PART, usual));
        if (defaults.partField().isPresent() || part == headWidth) {
            return part;
        }
        if (!isPlain(options)) {
            throw config.wrong(
                    PART, "1: classes of this model_type turn whole heads, but not by rope_type " + type(options));
        }
        // without scaling, transformers' class does not read the field
        return headWidth;
    }

    private static boolean isPlain(JsonDocument options) {
        return type(options).equals("default");
    }

    private static String field(JsonDocument config) {
        return config.says(OLD_FIELD) ? OLD_FIELD : NEW_FIELD;
    }

    private static String type(JsonDocument options) {
        return options.string("rope_type").or(() -> options.string("type")).orElse("default");
    }

    /** Embeddings without options, of this base. */
    public static Rope plain(double base, int width, boolean interleaved) {
        return new Rope(width, interleaved, new Frequencies.Fixed(rounded(frequencies(base, width))), 1);
    }

    private static double[] frequencies(double base, int width) {
        double[] plain = new double[width / 2];
        for (int i = 0; i < plain.length; i++) {
            plain[i] = Math.pow(base, -2.0 * i / width);
        }
        return plain;
    }

    private static Rope of(JsonDocument config, String field, JsonDocument options, int headWidth, Defaults defaults) {
        int width = turning(config, options, headWidth, defaults);
        if (width % 2 != 0 || width <= 0) {
            throw config.wrong("head_dim", "a head of which an even number of elements turns, not " + width);
        }
        double base = options.number(BASE, config.number(defaults.baseField(), defaults.base()));
        double[] plain = frequencies(base, width);
        String type = type(options);
        double scale = switch (type) {
            case "yarn" -> yarnScale(config, options);
            case "longrope" -> longScale(config, options);
            default -> 1;
        };
        Frequencies frequencies = switch (type) {
            case "default" -> new Frequencies.Fixed(rounded(plain));
            case "linear" -> new Frequencies.Fixed(rounded(linear(plain, factor(options))));
            case "llama3" -> new Frequencies.Fixed(rounded(llama3(plain, config, options)));
            case "yarn" -> new Frequencies.Fixed(rounded(yarn(plain, base, config, options)));
            case "dynamic" -> dynamic(config, plain, options);
            case "longrope" ->
                new Frequencies.Switched(
                        rounded(divided(plain, options, "short_factor")),
                        rounded(divided(plain, options, "long_factor")),
                        trained(config, options));
            default ->
                throw config.wrong(
                        field, "rope_type default, linear, dynamic, llama3, yarn or longrope, the kinds supported");
        };
        return new Rope(width, defaults.interleaved(), frequencies, scale);
    }

    private static Frequencies dynamic(JsonDocument config, double[] plain, JsonDocument options) {
        if (plain.length < 2) {
            throw config.wrong("head_dim", "a head of which more than 2 elements turn, for rope_type dynamic");
        }
        return new Frequencies.Dynamic(
                rounded(plain), factor(options), config.positive("max_position_embeddings", Limits.SEQUENCE));
    }

    private static double[] divided(double[] plain, JsonDocument options, String field) {
        JsonNode factors = options.json().path(field);
        if (factors.size() != plain.length || !nodes(factors).stream().allMatch(JsonNode::isNumber)) {
            throw options.wrong(field, "a list of " + plain.length + " numbers");
        }
        double[] slower = plain.clone();
        for (int i = 0; i < slower.length; i++) {
            slower[i] /= factors.get(i).doubleValue();
        }
        return slower;
    }

    private static List<JsonNode> nodes(JsonNode array) {
        List<JsonNode> nodes = new ArrayList<>();
        array.forEach(nodes::add);
        return nodes;
    }

    /** The tokens of the sequences that the model saw before it was stretched: the config's own field goes first. */
    private static int trained(JsonDocument config, JsonDocument options) {
        return config.has(TRAINED)
                ? config.positive(TRAINED)
                : options.has(TRAINED) ? options.positive(TRAINED) : config.positive("max_position_embeddings");
    }

    private static double ratio(JsonDocument config, JsonDocument options) {
        return config.positive("max_position_embeddings") / (double) trained(config, options);
    }

    private static double longScale(JsonDocument config, JsonDocument options) {
        double factor = options.number("factor", ratio(config, options));
        double scale = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(trained(config, options)));
        return options.number("attention_factor", scale);
    }

    private static FloatTensor rounded(double[] frequencies) {
        float[] values = new float[frequencies.length];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) frequencies[i];
        }
        return new FloatTensor(Shape.of(values.length), values);
    }

    private static double factor(JsonDocument options) {
        double factor = options.number("factor", Double.NaN);
        if (!(factor > 0)) {
            throw options.wrong("factor", "a positive number");
        }
        return factor;
    }

    private static double[] linear(double[] plain, double factor) {
        double[] slower = plain.clone();
        for (int i = 0; i < slower.length; i++) {
            slower[i] /= factor;
        }
        return slower;
    }

    /** Llama 3.1 (arXiv 2407.21783): slow pairs are slowed down, fast ones kept, those between interpolated. */
    private static double[] llama3(double[] plain, JsonDocument config, JsonDocument options) {
        double factor = factor(options);
        double low = options.number("low_freq_factor", 1);
        double high = options.number("high_freq_factor", 4);
        int trained = trained(config, options);
        double[] slower = plain.clone();
        for (int i = 0; i < slower.length; i++) {
            double turns = trained * plain[i] / (2 * Math.PI);
            double kept = Math.clamp((turns - low) / (high - low), 0, 1);
            slower[i] = kept * plain[i] + (1 - kept) * plain[i] / factor;
        }
        return slower;
    }

    /** YaRN (Peng et al., arXiv 2309.00071, section 3.2 and equation 22), with the options of transformers. */
    private static double[] yarn(double[] plain, double base, JsonDocument config, JsonDocument options) {
        double factor = yarnFactor(config, options);
        double trained = trained(config, options);
        double fast = pair(unlessZero(options, "beta_fast", 32), plain.length, base, trained);
        double slow = pair(unlessZero(options, "beta_slow", 1), plain.length, base, trained);
        boolean whole = options.flag("truncate", true);
        double low = Math.max(whole ? Math.floor(fast) : fast, 0);
        double high = Math.min(whole ? Math.ceil(slow) : slow, 2.0 * plain.length - 1);
        double[] slower = plain.clone();
        for (int i = 0; i < slower.length; i++) {
            double stretched = Math.clamp((i - low) / (high == low ? 0.001 : high - low), 0, 1);
            slower[i] = stretched * plain[i] / factor + (1 - stretched) * plain[i];
        }
        return slower;
    }

    /** Null means the ratio of lengths. */
    private static double yarnFactor(JsonDocument config, JsonDocument options) {
        return options.json().path("factor").isNull() ? ratio(config, options) : factor(options);
    }

    /** As in transformers, where 0 means the default too. */
    private static double unlessZero(JsonDocument options, String field, double usual) {
        double value = options.number(field, usual);
        return value == 0 ? usual : value;
    }

    /** What DeepSeek's attention multiplies its scale with where YaRN stretches it. */
    public static double sharpness(JsonDocument config) {
        String field = field(config);
        if (!config.says(field)) {
            return 1;
        }
        JsonDocument options = config.object(field);
        if (isPlain(options)) {
            return 1;
        }
        double all = options.number("mscale_all_dim", 0);
        double scale = all == 0 ? 1 : temperature(factor(options), all);
        return scale * scale;
    }

    private static double yarnScale(JsonDocument config, JsonDocument options) {
        double factor = yarnFactor(config, options);
        double own = options.number("mscale", 0);
        double all = options.number("mscale_all_dim", 0);
        double scale =
                own == 0 || all == 0 ? temperature(factor, 1) : temperature(factor, own) / temperature(factor, all);
        return options.number("attention_factor", scale);
    }

    /** The pair that turns so many times within the trained length. */
    private static double pair(double turns, int pairs, double base, double trained) {
        return pairs * Math.log(trained / (turns * 2 * Math.PI)) / Math.log(base);
    }

    private static double temperature(double factor, double weight) {
        return factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1;
    }

    /**
     * The frequencies, [width/2].
     *
     * @param positions integers [batch, sequence]
     */
    <T> T frequencies(Ops<T> ops, T positions) {
        return switch (frequencies) {
            case Frequencies.Fixed(FloatTensor values) -> ops.constant(values);
            case Frequencies.Dynamic(FloatTensor plain, double factor, int longest) -> {
                T length = ops.clamp(ops.toFloat(length(ops, positions)), longest, Float.MAX_VALUE);
                T growth = ops.log(ops.affine(length, factor / longest, 1 - factor));
                float[] powers = new float[width / 2];
                for (int i = 0; i < powers.length; i++) {
                    powers[i] = (float) (-2.0 * i / (width - 2));
                }
                T exponents = ops.mul(growth, ops.constant(new FloatTensor(Shape.of(powers.length), powers)));
                yield ops.mul(ops.activation(exponents, Activation.EXP), ops.constant(plain));
            }
            case Frequencies.Switched(FloatTensor within, FloatTensor beyond, int longest) -> {
                T isWithin = ops.lessOrEqual(length(ops, positions), ops.integer(longest));
                yield ops.add(
                        ops.mul(ops.toFloat(isWithin), ops.constant(within)),
                        ops.mul(ops.toFloat(ops.not(isWithin)), ops.constant(beyond)));
            }
        };
    }

    /** The length after which all tokens of a text turn otherwise, if there is one. */
    OptionalInt switchesAfter() {
        return frequencies instanceof Frequencies.Switched switched
                ? OptionalInt.of(switched.longest())
                : OptionalInt.empty();
    }

    private static <T> T length(Ops<T> ops, T positions) {
        return ops.add(ops.max(positions), ops.integer(1));
    }

    /** Cosines and sines of the angles of a sequence, both [batch, 1, sequence, width/2]. */
    record Turns<T>(T cos, T sin) {}

    /**
     * The angles of a sequence.
     *
     * @param positions integers [batch, sequence]
     */
    <T> Turns<T> turns(Ops<T> ops, T positions) {
        T angles = ops.angles(positions, frequencies(ops, positions));
        return new Turns<>(scaled(ops, ops.cos(angles)), scaled(ops, ops.sin(angles)));
    }

    private <T> T scaled(Ops<T> ops, T cosOrSin) {
        return ops.reshape(scale == 1 ? cosOrSin : ops.affine(cosOrSin, scale, 0), 0, 1, -1, width / 2);
    }

    /**
     * Turns the first elements of each head.
     *
     * @param x [batch, heads, sequence, headWidth]
     */
    <T> T apply(Ops<T> ops, T x, Turns<T> turns, int headWidth) {
        T part = width == headWidth ? x : ops.slice(x, 3, 0, width);
        T turned = interleaved ? interleaved(ops, part, turns) : ops.rotary(part, turns.cos(), turns.sin(), width);
        return width == headWidth ? turned : ops.concat(3, List.of(turned, ops.slice(x, 3, width, headWidth)));
    }

    private <T> T interleaved(Ops<T> ops, T x, Turns<T> turns) {
        T pairs = ops.reshape(x, 0, 0, 0, width / 2, 2);
        T apart = ops.reshape(ops.transpose(pairs, 0, 1, 2, 4, 3), 0, 0, 0, width);
        T turned = ops.rotary(apart, turns.cos(), turns.sin(), width);
        T back = ops.transpose(ops.reshape(turned, 0, 0, 0, 2, width / 2), 0, 1, 2, 4, 3);
        return ops.reshape(back, 0, 0, 0, width);
    }
}
