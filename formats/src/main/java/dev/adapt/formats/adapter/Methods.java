package dev.adapt.formats.adapter;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.dense.C3a;
import dev.adapt.formats.method.dense.FourierFt;
import dev.adapt.formats.method.dense.Frod;
import dev.adapt.formats.method.dense.Loha;
import dev.adapt.formats.method.dense.Lokr;
import dev.adapt.formats.method.dense.Shira;
import dev.adapt.formats.method.dense.WaveFt;
import dev.adapt.formats.method.gain.Beft;
import dev.adapt.formats.method.gain.Glora;
import dev.adapt.formats.method.gain.Hira;
import dev.adapt.formats.method.gain.Ia3;
import dev.adapt.formats.method.gain.LnTuning;
import dev.adapt.formats.method.gain.TrainableTokens;
import dev.adapt.formats.method.gain.WithTokens;
import dev.adapt.formats.method.lowrank.AdaLora;
import dev.adapt.formats.method.lowrank.Adamss;
import dev.adapt.formats.method.lowrank.CondLora;
import dev.adapt.formats.method.lowrank.Deft;
import dev.adapt.formats.method.lowrank.Delora;
import dev.adapt.formats.method.lowrank.GraLora;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.method.lowrank.LoraXs;
import dev.adapt.formats.method.lowrank.Peanut;
import dev.adapt.formats.method.seeded.PVera;
import dev.adapt.formats.method.seeded.RandLora;
import dev.adapt.formats.method.seeded.TinyLora;
import dev.adapt.formats.method.seeded.UniLora;
import dev.adapt.formats.method.seeded.VbLora;
import dev.adapt.formats.method.seeded.Vera;
import dev.adapt.formats.method.transform.Boft;
import dev.adapt.formats.method.transform.Hra;
import dev.adapt.formats.method.transform.Miss;
import dev.adapt.formats.method.transform.Oft;
import dev.adapt.formats.method.transform.Osf;
import dev.adapt.formats.method.transform.Road;
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
            VbLora.TYPE,
            Lokr.TYPE,
            C3a.TYPE,
            FourierFt.TYPE,
            WaveFt.TYPE,
            Shira.TYPE,
            Hira.TYPE,
            Glora.TYPE,
            Beft.TYPE,
            LnTuning.TYPE,
            TrainableTokens.TYPE,
            Delora.TYPE,
            Deft.TYPE,
            Peanut.TYPE,
            Boft.TYPE,
            Hra.TYPE,
            Miss.TYPE,
            Road.TYPE,
            Osf.TYPE,
            Frod.TYPE,
            Adamss.TYPE);

    /** What PEFT calls a method now, by what it called it before. */
    private static final Map<String, String> RENAMED = Map.of("BONE", "MISS");

    private static final String PROMPT =
            "it adds virtual tokens to the inputs and changes no weight, so that there is nothing to merge";

    /** Methods of PEFT whose files cannot be merged, and why. */
    private static final Map<String, String> UNMERGEABLE = Map.of(
            // ΔW = U·S·(R - I)·Vᵀ: the sign of a singular vector is that of a row and a column of R, so that only a
            // diagonal R
            // would not depend on it, which is a PSOFT that has not learned to rotate
            "PSOFT",
            "it rotates the base's singular vectors, whose signs are those that the machine's LAPACK chose and PEFT does"
                    + " not store; merge it with PEFT where it was trained",
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
            "how much each of its adapters counts depends on the inputs, so that no merged weight is the same",
            "POLY",
            "how much each of its skills counts depends on the task, so that no merged weight is the same");

    /** What is laid out like an adapter and is none, by its {@code peft_type}, and what to do with it. */
    private static final Map<String, String> OTHERS = Map.of(
            "LORS",
            "is a whole model, of LORS, and no change of another: merge its folder alone, and it becomes a plain"
                    + " checkpoint");

    private Methods() {}

    /**
     * The method that an adapter_config.json describes.
     *
     * @param metadata of the adapter's file
     * @throws FormatException if its {@code peft_type}, or an option that changes the result, is not supported
     */
    public static AdapterMethod of(AdapterConfig config, Map<String, String> metadata) {
        String peftType = RENAMED.getOrDefault(config.peftType(), config.peftType());
        String other = OTHERS.get(peftType);
        if (other != null) {
            throw new FormatException(config.path(), other);
        }
        String unmergeable = UNMERGEABLE.get(peftType);
        if (unmergeable != null) {
            throw new FormatException(
                    config.path(), "peft_type", "\"" + peftType + "\" cannot be merged: " + unmergeable);
        }
        config.requireKnownBias();
        AdapterMethod method = ALL.stream()
                .filter(type -> type.peftType().equals(peftType))
                .findFirst()
                .orElseThrow(() -> new FormatException(
                        config.path(),
                        "peft_type",
                        "\"" + peftType + "\" is not supported, expected one of: "
                                + ALL.stream().map(MethodType::peftType).collect(Collectors.joining(", "))))
                .reader()
                .read(config, metadata);
        return WithTokens.of(method, config);
    }

    /** The method that users call {@code name}. */
    public static Optional<MethodType> named(String name) {
        return ALL.stream().filter(type -> type.name().equals(name)).findFirst();
    }
}
