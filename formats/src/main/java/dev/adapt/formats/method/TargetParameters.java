package dev.adapt.formats.method;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.SequencedSet;

/**
 * The parameters that an adapter_config.json names in {@code target_parameters}, such as {@code mlp.experts.gate_up_proj}: an
 * entry is the whole name of a parameter, or its end after a dot. PEFT wraps the module of such a parameter, once for each of
 * its parameters, so that the keys of the first one begin with {@code experts.base_layer}, and those of the last one with
 * {@code experts}.
 */
public record TargetParameters(List<String> entries) {
    /** The field of the config. */
    public static final String FIELD = "target_parameters";

    private static final String WRAPPED = ".base_layer";

    /** The order in which modules of experts have their parameters. */
    private static final List<String> ORDER =
            List.of("gate_up_proj", "w1", "gate_proj", "w3", "up_proj", "w13", "down_proj", "w2");

    public TargetParameters {
        entries = List.copyOf(entries);
    }

    /**
     * What a config says.
     *
     * @throws dev.adapt.formats.FormatException if it is no list of names
     */
    public static TargetParameters of(AdapterConfig config) {
        return new TargetParameters(config.document().names(FIELD));
    }

    /** The module that was wrapped: its name without those of wrappers. */
    public static String core(String module) {
        String core = module;
        while (core.endsWith(WRAPPED)) {
            core = core.substring(0, core.length() - WRAPPED.length());
        }
        return core;
    }

    /** The name of a wrapper of a module that so many others are around. */
    public static String wrapper(String module, int depth) {
        return module + WRAPPED.repeat(depth);
    }

    /** How many wrappers are around the one that a module's name means. */
    public static int depth(String module) {
        return (module.length() - core(module).length()) / WRAPPED.length();
    }

    /** Whether parameters of a module are adapted. */
    public boolean claims(String module) {
        return !of(module).isEmpty();
    }

    /** The names that parameters of a module may have, in the order in which such modules have them. */
    public SequencedSet<String> of(String module) {
        String core = core(module);
        List<String> names = new ArrayList<>();
        for (String entry : entries) {
            int dot = entry.lastIndexOf('.');
            if (dot < 0 || TargetModules.names(entry.substring(0, dot), core)) {
                names.add(entry.substring(dot + 1));
            }
        }
        SequencedSet<String> ordered = new LinkedHashSet<>(ORDER);
        ordered.retainAll(names);
        ordered.addAll(names);
        return ordered;
    }

    /** Whether it is known which of two parameters a module has first. */
    public static boolean isOrdered(List<String> names) {
        return ORDER.containsAll(names);
    }
}
