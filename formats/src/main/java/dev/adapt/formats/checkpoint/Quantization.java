package dev.adapt.formats.checkpoint;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.TensorView;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;

/**
 * How a checkpoint stores the weight of a layer in fewer bits, told by the names and dtypes of its tensors: a config.json may
 * be missing or say nothing. The stored numbers are then not the layer's weights, and an update cannot be added to them.
 *
 * @param scheme what it is called, and which tensors tell
 * @param packed whether the stored tensor has another shape than the weight
 * @param scaled whether the weight is another number than the stored one; false for plain FP8
 */
public record Quantization(String scheme, boolean packed, boolean scaled) {
    private static final String WEIGHT = ".weight";

    /** The dtypes whose elements may be weights as they are. */
    private static final Set<Dtype> PLAIN = Set.of(Dtype.F64, Dtype.F32, Dtype.F16, Dtype.BF16);

    /** Endings of tensors that stand in the place of a layer's {@code weight}. */
    private static final List<String> INSTEAD =
            List.of(".qweight", ".weight_packed", ".W_q", ".weight._data", "_blocks");

    /**
     * A tensor that lies beside a quantized weight.
     *
     * @param ending of its name, after the layer's
     * @param scheme whose layout that is
     * @param packed whether the weight has another shape then
     */
    private record Sign(String ending, String scheme, boolean packed) {}

    /** The first that is there counts. */
    private static final List<Sign> SIGNS = List.of(
            new Sign(".weight.quant_state.bitsandbytes__nf4", "bitsandbytes 4-bit, nf4", true),
            new Sign(".weight.quant_state.bitsandbytes__fp4", "bitsandbytes 4-bit, fp4", true),
            new Sign(".weight.absmax", "bitsandbytes 4-bit", true),
            new Sign(".SCB", "bitsandbytes int8", false),
            new Sign(".weight_SCB", "bitsandbytes int8", false),
            new Sign(".weight.SCB", "bitsandbytes int8", false),
            new Sign(".weight_scale_inv", "FP8 with a scale for each block", false),
            new Sign(".weight_scale_2", "NVFP4 of ModelOpt", true),
            new Sign(".weight_scale", "stored with a scale, as compressed-tensors does", false),
            new Sign(".scales", "MLX's groups with scales", true));

    /**
     * How a weight that the checkpoint holds is quantized; empty where its dtype is one that weights have as they are, and for
     * integers with nothing beside them that would tell.
     *
     * @param tensors of the checkpoint, by name
     * @param weight the name of the stored tensor
     */
    public static Optional<Quantization> of(Map<String, TensorView> tensors, String weight) {
        TensorView stored = tensors.get(weight);
        if (stored == null || PLAIN.contains(stored.dtype())) {
            return Optional.empty();
        }
        String module = weight.endsWith(WEIGHT) ? weight.substring(0, weight.length() - WEIGHT.length()) : weight;
        for (Sign sign : SIGNS) {
            String beside = module + sign.ending();
            if (tensors.containsKey(beside)) {
                String where = stored.dtype() + " beside " + beside.substring(module.lastIndexOf('.') + 1);
                return Optional.of(new Quantization(sign.scheme() + ": " + where, sign.packed(), true));
            }
        }
        return stored.dtype().name().startsWith("F8_")
                ? Optional.of(new Quantization("FP8 without a scale: " + stored.dtype(), false, false))
                : Optional.empty();
    }

    /**
     * The quantized layers that have no tensor of their own name.
     *
     * @return by module, as the checkpoint spells it
     */
    public static SequencedMap<String, Quantization> packed(Map<String, TensorView> tensors) {
        SequencedMap<String, Quantization> packed = new LinkedHashMap<>();
        tensors.forEach((name, tensor) -> {
            for (String ending : INSTEAD) {
                if (name.endsWith(ending)) {
                    String module = name.substring(0, name.length() - ending.length());
                    packed.put(module, new Quantization(scheme(tensors, module, ending, tensor), true, true));
                }
            }
        });
        return packed;
    }

    private static String scheme(Map<String, TensorView> tensors, String module, String ending, TensorView stored) {
        String name = switch (ending) {
            case ".qweight" -> awq(tensors, module, stored) ? "AWQ" : "GPTQ";
            case ".weight_packed" -> "packed integers of compressed-tensors";
            case ".W_q" -> "HQQ";
            case ".weight._data" -> "optimum-quanto";
            default -> "MXFP4 in blocks";
        };
        return name + ": " + stored.name().substring(module.lastIndexOf('.') + 1) + " in " + stored.dtype()
                + ", and no weight";
    }

    /** GPTQ packs eight inputs into an integer, AWQ eight outputs; the scales have a column for each output. */
    private static boolean awq(Map<String, TensorView> tensors, String module, TensorView stored) {
        TensorView scales = tensors.get(module + ".scales");
        return !tensors.containsKey(module + ".g_idx")
                && scales != null
                && scales.shape().rank() == 2
                && stored.shape().rank() == 2
                && stored.shape().dim(1) != scales.shape().dim(1);
    }

    /** The error for a command that needs the layer's weights as numbers, or writes them. */
    public FormatException refusal(Path file, String name) {
        return new FormatException(
                file,
                name,
                "is quantized (" + scheme + "), "
                        + (scaled ? "and does not store its weights as plain numbers" : "too coarse for an update")
                        + "; take the unquantized original of this checkpoint, and quantize the result again");
    }
}
