package dev.adapt.formats.adapter;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.dense.Loha;
import dev.adapt.formats.method.gain.Ia3;
import dev.adapt.formats.method.lowrank.AdaLora;
import dev.adapt.formats.method.lowrank.CondLora;
import dev.adapt.formats.method.lowrank.GraLora;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.method.lowrank.LoraXs;
import dev.adapt.formats.method.lowrank.PVera;
import dev.adapt.formats.method.lowrank.RandLora;
import dev.adapt.formats.method.lowrank.TinyLora;
import dev.adapt.formats.method.lowrank.UniLora;
import dev.adapt.formats.method.lowrank.VbLora;
import dev.adapt.formats.method.lowrank.Vera;
import dev.adapt.formats.method.transform.Oft;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;

/** The list of methods. */
public final class Methods {
    /** Every method, in the order in which help lists them. */
    public static final List<MethodType> ALL = List.of(
            Lora.TYPE,
            Vera.TYPE,
            CondLora.TYPE,
            Loha.TYPE,
            Ia3.TYPE,
            Oft.TYPE,
            AdaLora.TYPE,
            GraLora.TYPE,
            LoraXs.TYPE,
            PVera.TYPE,
            RandLora.TYPE,
            TinyLora.TYPE,
            UniLora.TYPE,
            VbLora.TYPE);

    private static final String PROMPT =
            "it adds virtual tokens to the inputs and changes no weight, so that there is nothing to merge";

    /** Methods of PEFT that no change of weights is the same as, and why. */
    private static final Map<String, String> UNMERGEABLE = Map.of(
            "PROMPT_TUNING",
            PROMPT,
            "MULTITASK_PROMPT_TUNING",
            PROMPT,
            "P_TUNING",
            PROMPT,
            "PREFIX_TUNING",
            "it adds keys and values to the attention and changes no weight, so that there is nothing to merge",
            "ADAPTION_PROMPT",
            "it adds a gated attention to prompts and changes no weight, so that there is nothing to merge",
            "LILY",
            "which B a layer takes depends on its inputs, so that no merged weight is the same",
            "XLORA",
            "how much each of its adapters counts depends on the inputs, so that no merged weight is the same");

    private Methods() {}

    /**
     * The method that an adapter_config.json describes.
     *
     * @param metadata of the adapter's file
     * @throws FormatException if its {@code peft_type}, or an option that changes the result, is not supported
     */
    public static AdapterMethod of(AdapterConfig config, Map<String, String> metadata) {
        String peftType = config.peftType();
        String unmergeable = UNMERGEABLE.get(peftType);
        if (unmergeable != null) {
            throw new FormatException(
                    config.path(), "peft_type", "\"" + peftType + "\" cannot be merged: " + unmergeable);
        }
        return ALL.stream()
                .filter(type -> type.peftType().equals(peftType))
                .findFirst()
                .orElseThrow(() -> new FormatException(
                        config.path(),
                        "peft_type",
                        "\"" + peftType + "\" is not supported, expected one of: "
                                + ALL.stream().map(MethodType::peftType).collect(Collectors.joining(", "))))
                .reader()
                .read(config, metadata);
    }

    /** The method that users call {@code name}. */
    public static Optional<MethodType> named(String name) {
        return ALL.stream().filter(type -> type.name().equals(name)).findFirst();
    }
}
