package dev.adapt.formats.checkpoint;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.Predicate;

/** How a checkpoint stores quantized weights, as the tensors beside them tell. */
public final class Quantization {
    /** What lies beside a module's weight, or in its place, by the end of its name. */
    private static final Map<String, String> SIGNS = signs();

    private Quantization() {}

    private static Map<String, String> signs() {
        Map<String, String> signs = new LinkedHashMap<>();
        signs.put("qweight", "GPTQ or AWQ");
        signs.put("weight.absmax", "bitsandbytes, 4 bits");
        signs.put("SCB", "bitsandbytes, 8 bits");
        signs.put("weight_SCB", "bitsandbytes, 8 bits");
        signs.put("weight.SCB", "bitsandbytes, 8 bits");
        signs.put("weight_packed", "compressed-tensors");
        signs.put("weight_scale_inv", "FP8 in blocks");
        signs.put("weight_scale", "with a scale");
        signs.put("weight_blocks", "MXFP4");
        signs.put("scales", "in groups, with scales");
        return signs;
    }

    /**
     * How a module's weight is quantized; empty where it is not.
     *
     * @param has whether the checkpoint has a tensor of that name
     */
    public static Optional<String> of(String module, Predicate<String> has) {
        return SIGNS.entrySet().stream()
                .filter(sign -> has.test(module + "." + sign.getKey()))
                .map(sign -> sign.getValue() + ": " + sign.getKey() + " lies beside it")
                .findFirst();
    }
}
