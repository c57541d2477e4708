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
    public static final List<MethodType> ALL =
            List.of(
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
            VbLora.TYPE);

    private Methods() {}

    /**
     * The method that an adapter_config.json describes.
     *
     * @param metadata of the adapter's file
     * @throws FormatException if its {@code peft_type}, or an option that changes the result, is not supported
     */
    public static AdapterMethod of(AdapterConfig config, Map<String, String> metadata) {
        String peftType = config.peftType();
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
