package dev.adapt.formats.graph;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;

/**
 * Rotary position embeddings (Su et al., arXiv 2104.09864): how fast each pair of a head's elements turns, with the ways to
 * stretch them to longer texts that checkpoints use.
 *
 * @param frequencies [width/2], in radians per position
 * @param scale what cosines and sines are multiplied with
 */
record Rope(FloatTensor frequencies, double scale) {
    /** Since version 5, transformers has all of them in one place, the base included. */
    private static final String NEW_FIELD = "rope_parameters";

    private static final String OLD_FIELD = "rope_scaling";

    /**
     * The embeddings that a config describes.
     *
     * @param width of a head
     * @throws dev.adapt.formats.FormatException if it asks for a kind that is not supported
     */
    static Rope of(JsonDocument config, int width) {
        if (width % 2 != 0) {
            throw config.wrong("head_dim", "an even number");
        }
        String field = config.says(NEW_FIELD) ? NEW_FIELD : OLD_FIELD;
        ObjectNode json =
                config.json().path(field) instanceof ObjectNode object ? object : JsonNodeFactory.instance.objectNode();
        JsonDocument options = new JsonDocument(config.path(), json);
        double base = options.number("rope_theta", config.number("rope_theta", 10_000));
        if (options.number("partial_rotary_factor", config.number("partial_rotary_factor", 1)) != 1) {
            throw config.wrong("partial_rotary_factor", "1: heads that turn in part are not supported");
        }
        double[] plain = new double[width / 2];
        for (int i = 0; i < plain.length; i++) {
            plain[i] = Math.pow(base, -2.0 * i / width);
        }
        String type =
                options.string("rope_type").or(() -> options.string("type")).orElse("default");
        return switch (type) {
            case "default" -> new Rope(rounded(plain), 1);
            case "linear" -> new Rope(rounded(linear(plain, factor(options))), 1);
            case "llama3" -> new Rope(rounded(llama3(plain, options)), 1);
            case "yarn" -> yarn(plain, base, config, options);
            default -> throw config.wrong(field, "rope_type default, linear, llama3 or yarn, the kinds supported");
        };
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
    private static double[] llama3(double[] plain, JsonDocument options) {
        double factor = factor(options);
        double low = options.number("low_freq_factor", 1);
        double high = options.number("high_freq_factor", 4);
        int trained = options.positive("original_max_position_embeddings");
        double[] slower = plain.clone();
        for (int i = 0; i < slower.length; i++) {
            double turns = trained * plain[i] / (2 * Math.PI);
            double kept = Math.clamp((turns - low) / (high - low), 0, 1);
            slower[i] = kept * plain[i] + (1 - kept) * plain[i] / factor;
        }
        return slower;
    }

    /** YaRN (Peng et al., arXiv 2309.00071, section 3.2 and equation 22), with the options of transformers. */
    private static Rope yarn(double[] plain, double base, JsonDocument config, JsonDocument options) {
        double factor = factor(options);
        double trained = options.number("original_max_position_embeddings", config.positive("max_position_embeddings"));
        double fast = pair(options.number("beta_fast", 32), plain.length, base, trained);
        double slow = pair(options.number("beta_slow", 1), plain.length, base, trained);
        boolean whole = options.flag("truncate", true);
        double low = Math.max(whole ? Math.floor(fast) : fast, 0);
        double high = Math.min(whole ? Math.ceil(slow) : slow, 2.0 * plain.length - 1);
        double[] slower = plain.clone();
        for (int i = 0; i < slower.length; i++) {
            double stretched = Math.clamp((i - low) / (high == low ? 0.001 : high - low), 0, 1);
            slower[i] = stretched * plain[i] / factor + (1 - stretched) * plain[i];
        }
        double own = options.number("mscale", 0);
        double all = options.number("mscale_all_dim", 0);
        double scale =
                own == 0 || all == 0 ? temperature(factor, 1) : temperature(factor, own) / temperature(factor, all);
        return new Rope(rounded(slower), options.number("attention_factor", scale));
    }

    /** The pair that turns so many times within the trained length. */
    private static double pair(double turns, int pairs, double base, double trained) {
        return pairs * Math.log(trained / (turns * 2 * Math.PI)) / Math.log(base);
    }

    private static double temperature(double factor, double weight) {
        return factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1;
    }
}
