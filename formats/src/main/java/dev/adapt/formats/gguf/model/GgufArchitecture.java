package dev.adapt.formats.gguf.model;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.JsonDocument;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What llama.cpp expects of one architecture: an entry of {@code architectures.json}.
 *
 * @param types the {@code model_type}s it stands for
 * @param className its class in transformers
 * @param prefix of the names of tensors in hub files, except the head's
 * @param hub parts of names as hub files spell them, where they differ from the canonical ones
 * @param name llama.cpp's name, which its metadata keys begin with
 * @param modules llama.cpp's names of modules by canonical name, {@code *} for the number of the layer; a name with an ending
 *     is that of a tensor without one
 * @param keys metadata after the name, as {@code TYPE FIELD|FIELD =DEFAULT}; {@code @TENSOR} is the length of a tensor
 * @param permuted whether rows of q and k are interleaved; see {@link GgufSource#source}
 * @param head whether the output head is written
 * @param experts how the matrices of experts are stored
 * @param expertLength the field that tells an expert's width
 * @param normsPlusOne whether the weights of norms are stored minus one
 * @param queryScale the module that takes the quotient of the config's attention scale and llama.cpp's
 * @param large the number of layers from which llama.cpp takes another attention scale
 * @param sliding every how many layers llama.cpp sees full attention, where nothing is said; 0 without sliding windows
 * @param rope scalings of rotary positions that it knows
 * @param skipped prefixes of canonical names that have no place in the file
 * @param requires values of fields that llama.cpp takes for granted; {@code !} after a field that must be there
 * @param rotary whether positions are rotary
 * @param encoder whether it gives embeddings
 * @param noRopeInterval every how many layers llama.cpp leaves rotary positions out; 0 for never
 */
record GgufArchitecture(
        List<String> types,
        String className,
        String prefix,
        SequencedMap<String, String> hub,
        String name,
        SequencedMap<String, String> modules,
        SequencedMap<String, String> keys,
        boolean permuted,
        Head head,
        Experts experts,
        Optional<String> expertLength,
        boolean normsPlusOne,
        Optional<String> queryScale,
        int large,
        int sliding,
        Set<String> rope,
        List<String> skipped,
        ObjectNode requires,
        boolean rotary,
        boolean encoder,
        int noRopeInterval) {
    /** Whether an output head is written: where it is not the table, always, or never. */
    enum Head {
        OPTIONAL,
        REQUIRED,
        NONE
    }

    /** How the matrices of experts are stored: not at all, gate and up apart or one below the other, or row by row. */
    enum Experts {
        ABSENT,
        SEPARATE,
        INTERLEAVED
    }

    private static final String FILE = "architectures.json";
    private static final Pattern NUMBER = Pattern.compile("(^|\\.)(\\d{1,5})(?=\\.|$)");

    /**
     * The architecture of a config.json.
     *
     * @throws FormatException if llama.cpp or this list does not know it
     */
    static GgufArchitecture of(JsonDocument config) {
        String type = config.string("model_type").orElse("");
        ObjectNode root = read();
        Set<String> known = new TreeSet<>();
        for (JsonNode entry : root.path("architectures")) {
            for (JsonNode own : entry.path("types")) {
                known.add(own.textValue());
                if (own.textValue().equals(type)) {
                    return of((ObjectNode) entry, root);
                }
            }
        }
        throw new FormatException(
                config.path(), "model_type", "expected one of " + known + ", which GGUF is written for, found " + type);
    }

    /** The architectures with llama.cpp's name of one; several where model types share it. */
    static List<GgufArchitecture> named(String name) {
        ObjectNode root = read();
        List<GgufArchitecture> found = new ArrayList<>();
        for (JsonNode entry : root.path("architectures")) {
            if (entry.path("name").textValue().equals(name)) {
                found.add(of((ObjectNode) entry, root));
            }
        }
        return found;
    }

    private static ObjectNode read() {
        return JsonDocument.resource(GgufArchitecture.class, FILE).json();
    }

    private static GgufArchitecture of(ObjectNode entry, ObjectNode root) {
        return new GgufArchitecture(
                strings(entry.path("types")),
                entry.path("class").textValue(),
                entry.path("prefix").asText("model."),
                fields(entry.path("hub")),
                entry.path("name").textValue(),
                joined(entry.path("maps"), root.path("maps")),
                joined(entry.path("keys"), root.path("keys")),
                entry.path("permuted").asBoolean(),
                Head.valueOf(entry.path("head").asText("optional").toUpperCase(Locale.ROOT)),
                Experts.valueOf(entry.path("experts").asText("absent").toUpperCase(Locale.ROOT)),
                Optional.ofNullable(entry.path("expert_length").textValue()),
                entry.path("norms_plus_one").asBoolean(),
                Optional.ofNullable(entry.path("query_scale").textValue()),
                entry.path("large").asInt(),
                entry.path("sliding").asInt(),
                new HashSet<>(strings(entry.path("rope"))),
                strings(entry.path("skipped")),
                entry.path("requires") instanceof ObjectNode object ? object : root.objectNode(),
                !entry.has("positions"),
                entry.path("encoder").asBoolean(),
                entry.path("no_rope_interval").asInt());
    }

    private static SequencedMap<String, String> joined(JsonNode names, JsonNode shared) {
        SequencedMap<String, String> all = new LinkedHashMap<>();
        for (JsonNode name : names) {
            all.putAll(fields(shared.path(name.textValue())));
        }
        return all;
    }

    private static SequencedMap<String, String> fields(JsonNode node) {
        SequencedMap<String, String> fields = new LinkedHashMap<>();
        node.properties()
                .forEach(field -> fields.put(field.getKey(), field.getValue().textValue()));
        return fields;
    }

    private static List<String> strings(JsonNode node) {
        List<String> strings = new ArrayList<>();
        node.forEach(each -> strings.add(each.textValue()));
        return strings;
    }

    /** A name with {@code *} in the place of its first number. */
    static String pattern(String name) {
        return NUMBER.matcher(name).replaceFirst("$1*");
    }

    /** llama.cpp's name of a module, by its canonical name. */
    Optional<String> module(String canonical) {
        Matcher number = NUMBER.matcher(canonical);
        String layer = number.find() ? number.group(2) : "";
        return Optional.ofNullable(modules.get(pattern(canonical))).map(target -> target.replace("*", layer));
    }

    /** The canonical name of one of llama.cpp's tensors; empty where it is no tensor of a checkpoint. */
    Optional<String> canonical(String tensor) {
        Matcher number = NUMBER.matcher(tensor);
        String layer = number.find() ? number.group(2) : "";
        String pattern = pattern(tensor);
        for (Map.Entry<String, String> module : modules.entrySet()) {
            for (String ending : List.of("", ".weight", ".bias")) {
                if (pattern.equals(module.getValue() + ending)) {
                    return Optional.of(module.getKey().replace("*", layer) + ending);
                }
            }
        }
        return Optional.empty();
    }

    /** What hub files call a tensor. */
    String hubName(String canonical) {
        String name = canonical.startsWith("lm_head.") ? canonical : prefix + canonical;
        for (Map.Entry<String, String> part : hub.entrySet()) {
            name = name.replace(part.getKey(), part.getValue());
        }
        return name;
    }

    /** llama.cpp's name of a tensor, by its canonical name. */
    Optional<String> tensor(String canonical) {
        int dot = canonical.lastIndexOf('.');
        String ending = dot < 0 ? "" : canonical.substring(dot);
        if (ending.equals(".weight") || ending.equals(".bias")) {
            return module(canonical.substring(0, dot)).map(module -> module + ending);
        }
        return module(canonical);
    }

    /** Whether rows of a module's weight or bias are interleaved: {@link #permuted} of q and k. */
    boolean permutes(String canonical) {
        return permuted && (canonical.contains(".self_attn.q_proj") || canonical.contains(".self_attn.k_proj"));
    }

    /** Whether a tensor takes the quotient of attention scales: {@link #queryScale}. */
    boolean scalesQuery(String canonical) {
        String pattern = pattern(canonical);
        return queryScale
                .filter(module -> pattern.equals(module + ".weight") || pattern.equals(module + ".bias"))
                .isPresent();
    }

    /** Whether a tensor is stored plus one: {@link #normsPlusOne}. */
    boolean addsOne(String canonical) {
        return normsPlusOne && canonical.endsWith("norm.weight");
    }

    /** Whether the sliding window is written, 0 for none: llama.cpp of early 2025 does not load Phi 3 without. */
    boolean recordsWindow() {
        return name.equals("phi3");
    }

    /** Whether a tensor of the checkpoint is left out. */
    boolean skips(String canonical) {
        String pattern = pattern(canonical);
        return canonical.endsWith(".rotary_emb.inv_freq")
                || skipped.stream().anyMatch(each -> pattern.equals(each) || pattern.startsWith(each + "."));
    }
}
