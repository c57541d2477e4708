package dev.adapt.verify.diagnosis;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.method.AdapterMethod;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What a LoRA's config says of its scale, to tell which mistake made another one.
 *
 * @param alpha 0 where the config has none
 * @param rank 0 where the config has none
 * @param rootOfRank whether the scale is α/√r
 */
public record AdapterScale(double alpha, double rank, boolean rootOfRank) {
    /** No scale is known. */
    public static final AdapterScale UNKNOWN = new AdapterScale(0, 0, false);

    private static final double NEAR = 0.01;

    /** That of an adapter's method. */
    public static AdapterScale of(AdapterMethod method) {
        ObjectNode config = new JsonMapper().createObjectNode();
        method.describe(config);
        return new AdapterScale(
                config.path("lora_alpha").asDouble(0),
                config.path("r").asDouble(0),
                config.path("use_rslora").asBoolean(false));
    }

    /** What a change is that is {@code factor} times what it should be, in words. */
    String named(double factor) {
        String times = Summaries.number(factor) + " times";
        if (!(alpha > 0 && rank > 0)) {
            return "the adapter's change is " + times + " what it should be";
        }
        double scale = rootOfRank ? alpha / Math.sqrt(rank) : alpha / rank;
        String own = rootOfRank ? "α/√r" : "α/r";
        Map<String, Double> mistakes = new LinkedHashMap<>();
        mistakes.put(rootOfRank ? "α/r" : "α/√r", rootOfRank ? alpha / rank : alpha / Math.sqrt(rank));
        mistakes.put("left out", 1.0);
        mistakes.put("α, not divided by the rank", alpha);
        mistakes.put("1/r, without α", 1 / rank);
        mistakes.put("its square", scale * scale);
        mistakes.put("r/α", rank / alpha);
        for (Map.Entry<String, Double> mistake : mistakes.entrySet()) {
            if (Math.abs(factor * scale - mistake.getValue()) <= NEAR * mistake.getValue()) {
                return "the adapter's scale is " + mistake.getKey() + ": " + Summaries.number(mistake.getValue())
                        + " where its config says " + own + " = " + Summaries.number(scale) + " (α "
                        + Summaries.number(alpha) + ", r " + Summaries.number(rank) + "): the change is " + times
                        + " what it should be";
            }
        }
        return "the adapter's change is " + times + " what it should be (" + own + " = " + Summaries.number(scale)
                + ")";
    }
}
