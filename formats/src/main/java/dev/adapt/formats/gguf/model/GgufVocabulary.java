package dev.adapt.formats.gguf.model;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.MissingNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.gguf.GgufValue;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.Limit;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.stream.IntStream;

/**
 * A tokenizer.json as llama.cpp's vocabulary: tokens with scores and types, merges, the name of the pre-tokenizer, special
 * tokens. There are four kinds: byte-level BPE ({@code gpt2}), BPE of SentencePiece ({@code llama}), Unigram ({@code t5}) and
 * WordPiece ({@code bert}).
 */
final class GgufVocabulary {
    /** llama.cpp's types of tokens. */
    private static final int NORMAL = 1;

    private static final int UNKNOWN = 2;
    private static final int CONTROL = 3;
    private static final int USER_DEFINED = 4;
    private static final int UNUSED = 5;
    private static final int BYTE = 6;

    /** SentencePiece's mark of a space. */
    private static final String SPACE = "\u2581";

    private static final String KEY = "tokenizer.ggml.";

    private final JsonDocument tokenizer;
    private final JsonNode model;
    private final int size;
    private final SequencedMap<String, GgufValue> values = new LinkedHashMap<>();
    private final List<String> notes = new ArrayList<>();
    private final String[] tokens;
    private final int[] types;
    private final float[] scores;
    private final Map<String, Integer> ids = new HashMap<>();

    private GgufVocabulary(JsonDocument tokenizer, int size) {
        this.tokenizer = tokenizer;
        this.model = tokenizer.json().path("model");
        this.size = size;
        this.tokens = new String[size];
        this.types = new int[size];
        this.scores = new float[size];
    }

    /**
     * The vocabulary of a model's folder.
     *
     * @param size rows of the embedding table
     * @param preTokenizer llama.cpp's name of the pre-tokenizer, where the user gives it
     * @throws FormatException if llama.cpp has no tokenizer of that kind
     */
    static GgufVocabulary of(Path folder, JsonDocument config, int size, Optional<String> preTokenizer)
            throws IOException {
        Path file = folder.resolve("tokenizer.json");
        if (!Files.isRegularFile(file)) {
            return none(config, size, "the checkpoint holds no tokenizer.json");
        }
        GgufVocabulary vocabulary = new GgufVocabulary(JsonDocument.read(InputFile.found(file), Limit.TOKENIZER), size);
        String kind = vocabulary.model.path("type").asText("BPE");
        if (kind.equals("WordLevel")) {
            return none(config, size, "tokenizer.json maps whole words, which llama.cpp has no tokenizer for");
        }
        if (kind.equals("BPE") && vocabulary.isSentencePiece() && !vocabulary.hasBytes()) {
            return none(
                    config,
                    size,
                    "tokenizer.json holds BPE of SentencePiece without tokens for all bytes, at which llama.cpp ends");
        }
        vocabulary.read(kind, preTokenizer);
        vocabulary.addSpecial(folder, config, kind);
        return vocabulary;
    }

    private static GgufVocabulary none(JsonDocument config, int size, String why) {
        GgufVocabulary vocabulary = new GgufVocabulary(config, size);
        vocabulary.values.put(KEY + "model", GgufValue.text("none"));
        vocabulary.notes.add(why + ": the GGUF file takes token ids only");
        return vocabulary;
    }

    /** Metadata, by whole key. */
    SequencedMap<String, GgufValue> values() {
        return values;
    }

    /** Whether all of these are tokens. */
    boolean has(List<String> texts) {
        return ids.keySet().containsAll(texts);
    }

    /** What a user should know, in sentences. */
    List<String> notes() {
        return notes;
    }

    private void read(String kind, Optional<String> preTokenizer) {
        switch (kind) {
            case "BPE" -> {
                readMap();
                if (isSentencePiece()) {
                    sentencePiece();
                } else {
                    byteLevel(preTokenizer);
                }
            }
            case "Unigram" -> unigram();
            case "WordPiece" -> wordPiece();
            default ->
                throw new FormatException(
                        tokenizer.path(), "model", "is " + kind + ", expected BPE, Unigram or WordPiece for GGUF");
        }
    }

    private boolean isSentencePiece() {
        return model.path("byte_fallback").asBoolean()
                || tokenizer.json().path("normalizer").toString().contains(SPACE)
                || tokenizer.json().path("pre_tokenizer").toString().contains("Metaspace");
    }

    private boolean hasBytes() {
        return IntStream.range(0, 256)
                .allMatch(value -> model.path("vocab").has(String.format(Locale.ROOT, "<0x%02X>", value)));
    }

    private void token(String text, int id) {
        if (id < 0 || id >= size) {
            throw new FormatException(
                    tokenizer.path(), text, "has id " + id + ", but the embedding table has " + size + " rows");
        }
        tokens[id] = text;
        types[id] = NORMAL;
        ids.put(text, id);
    }

    private void readMap() {
        model.path("vocab")
                .properties()
                .forEach(entry -> token(entry.getKey(), entry.getValue().asInt(-1)));
    }

    private void byteLevel(Optional<String> preTokenizer) {
        String pre = preTokenizer.orElseGet(() -> PreTokenizers.name(tokenizer));
        addAdded();
        fill("gpt2", Optional.of(pre));
        values.put(KEY + "merges", GgufValue.texts(merges()));
    }

    /** Merges as {@code LEFT RIGHT}. */
    private List<String> merges() {
        List<String> merges = new ArrayList<>();
        for (JsonNode merge : model.path("merges")) {
            merges.add(
                    merge.isArray()
                            ? merge.path(0).asText() + " " + merge.path(1).asText()
                            : merge.asText());
        }
        return merges;
    }

    /** llama.cpp merges the pair whose result has the best score: the rank of the merge, negative. */
    private void sentencePiece() {
        Map<String, Integer> ranks = new HashMap<>();
        List<String> merges = merges();
        for (int rank = 0; rank < merges.size(); rank++) {
            ranks.putIfAbsent(merges.get(rank).replaceFirst("(?<=.) ", ""), rank);
        }
        for (int id = 0; id < size; id++) {
            scores[id] = tokens[id] == null ? 0 : -ranks.getOrDefault(tokens[id], merges.size());
        }
        markBytes();
        markUnknown();
        addAdded();
        fill("llama", Optional.of("default"));
        addSpacePrefix();
    }

    private void markBytes() {
        for (int id = 0; id < size; id++) {
            if (tokens[id] != null && tokens[id].matches("<0x[0-9A-F]{2}>")) {
                types[id] = BYTE;
            }
        }
    }

    private void markUnknown() {
        JsonNode unknown = model.path("unk_token");
        Integer id = unknown.isTextual() ? ids.get(unknown.textValue()) : null;
        if (id == null && model.path("unk_id").isInt()) {
            id = model.path("unk_id").intValue();
        }
        if (id != null && id >= 0 && id < size) {
            types[id] = UNKNOWN;
            values.put(KEY + "unknown_token_id", GgufValue.u32(id));
        }
    }

    private void addSpacePrefix() {
        String text =
                tokenizer.json().path("normalizer") + " " + tokenizer.json().path("pre_tokenizer");
        boolean prepends = text.contains("\"Prepend\"")
                || (text.contains("Metaspace")
                        && !text.contains("\"prepend_scheme\":\"never\"")
                        && !text.contains("\"add_prefix_space\":false"));
        values.put(KEY + "add_space_prefix", GgufValue.flag(prepends));
    }

    private void unigram() {
        int id = 0;
        for (JsonNode entry : model.path("vocab")) {
            token(entry.path(0).asText(), id);
            scores[id++] = (float) entry.path(1).asDouble();
        }
        markBytes();
        markUnknown();
        addAdded();
        fill("t5", Optional.of("default"));
        addSpacePrefix();
        values.put(
                KEY + "remove_extra_whitespaces",
                GgufValue.flag(tokenizer.json().path("normalizer").toString().contains(" {2,}")
                        || tokenizer.json().path("pre_tokenizer").toString().contains("WhitespaceSplit")));
        charsmap().ifPresent(map -> values.put(KEY + "precompiled_charsmap", GgufValue.u8s(map)));
    }

    private Optional<byte[]> charsmap() {
        for (JsonNode map : tokenizer.json().path("normalizer").findValues("precompiled_charsmap")) {
            if (map.isTextual() && !map.textValue().isEmpty()) {
                try {
                    return Optional.of(Base64.getDecoder().decode(map.textValue()));
                } catch (IllegalArgumentException e) {
                    throw new FormatException(tokenizer.path(), "precompiled_charsmap", "is not base64");
                }
            }
        }
        return Optional.empty();
    }

    /** llama.cpp marks the beginnings of words, WordPiece the rest of them. */
    private void wordPiece() {
        readMap();
        markUnknown();
        addAdded();
        for (int id = 0; id < size; id++) {
            if (tokens[id] != null && types[id] == NORMAL) {
                tokens[id] = tokens[id].startsWith("##") ? tokens[id].substring(2) : SPACE + tokens[id];
            }
        }
        fill("bert", Optional.of("default"));
        JsonNode normalizer = tokenizer.json().path("normalizer");
        boolean lowercase = normalizer.path("lowercase").asBoolean(true);
        values.put("tokenizer.ggml.normalizer.lowercase", GgufValue.flag(lowercase));
        values.put(
                "tokenizer.ggml.normalizer.strip_accents",
                GgufValue.flag(normalizer.path("strip_accents").asBoolean(lowercase)));
    }

    private void addAdded() {
        for (JsonNode added : tokenizer.json().path("added_tokens")) {
            int id = added.path("id").asInt(-1);
            boolean unknown = id >= 0 && id < size && types[id] == UNKNOWN;
            token(added.path("content").asText(), id);
            types[id] = unknown ? UNKNOWN : added.path("special").asBoolean() ? CONTROL : USER_DEFINED;
        }
    }

    /** Writes the table, rows of the embedding without a token filled. */
    private void fill(String kind, Optional<String> pre) {
        Map<String, Integer> seen = new HashMap<>();
        for (int id = 0; id < size; id++) {
            if (tokens[id] == null) {
                tokens[id] = "[PAD" + id + "]";
                types[id] = UNUSED;
                scores[id] = -10_000;
            }
            Integer before = seen.putIfAbsent(tokens[id], id);
            if (before != null) {
                throw new FormatException(
                        tokenizer.path(),
                        tokens[id],
                        "is the token of both " + before + " and " + id + ", which llama.cpp refuses");
            }
        }
        SequencedMap<String, GgufValue> rest = new LinkedHashMap<>(values);
        values.clear();
        values.put(KEY + "model", GgufValue.text(kind));
        pre.ifPresent(name -> values.put(KEY + "pre", GgufValue.text(name)));
        values.put(KEY + "tokens", GgufValue.texts(List.of(tokens)));
        if (kind.equals("llama") || kind.equals("t5")) {
            values.put(KEY + "scores", GgufValue.f32s(scores));
        }
        values.put(KEY + "token_type", GgufValue.i32s(types));
        values.putAll(rest);
    }

    private void addSpecial(Path folder, JsonDocument config, String kind) throws IOException {
        JsonNode settings = optional(folder.resolve("tokenizer_config.json"));
        JsonNode generation = optional(folder.resolve("generation_config.json"));
        special("bos", settings, config, "bos");
        special("eos", settings, config, "eos");
        special("pad", settings, config, "padding");
        special("unk", settings, config, "unknown");
        special("sep", settings, config, "seperator"); // llama.cpp's spelling
        special("mask", settings, config, "mask");
        addTurnEnd(config, generation);
        addFrame(settings, kind);
        template(folder, settings).ifPresent(text -> values.put("tokenizer.chat_template", GgufValue.text(text)));
    }

    private static JsonNode optional(Path file) throws IOException {
        return Files.isRegularFile(file) ? JsonDocument.read(file).json() : MissingNode.getInstance();
    }

    private void special(String name, JsonNode settings, JsonDocument config, String key) {
        JsonNode token = settings.path(name + "_token");
        String text = token.isObject() ? token.path("content").asText("") : token.asText("");
        Integer id = token.isTextual() || token.isObject() ? ids.get(text) : null;
        JsonNode own = config.json().path(name + "_token_id");
        JsonNode first = own.isArray() ? own.path(0) : own;
        if (id == null && first.isInt() && first.intValue() >= 0 && first.intValue() < size) {
            id = first.intValue();
        }
        if (id != null) {
            values.put(KEY + key + "_token_id", GgufValue.u32(id));
        }
    }

    /** Another token that ends generation, such as that of a turn. */
    private void addTurnEnd(JsonDocument config, JsonNode generation) {
        JsonNode list = generation.path("eos_token_id").isArray()
                ? generation.path("eos_token_id")
                : config.json().path("eos_token_id");
        GgufValue end = values.get(KEY + "eos_token_id");
        for (JsonNode id : list) {
            boolean other = !(end instanceof GgufValue.Whole whole) || whole.value() != id.asInt();
            if (id.isInt() && id.intValue() >= 0 && id.intValue() < size && other) {
                values.putIfAbsent(KEY + "eot_token_id", GgufValue.u32(id.intValue()));
            }
        }
    }

    /** Which special tokens are added around a text: by the post-processor, else by tokenizer_config.json. */
    private void addFrame(JsonNode settings, String kind) {
        Optional<String[]> frame = frame(tokenizer.json().path("post_processor"));
        boolean before = settings.path("add_bos_token").asBoolean(false);
        boolean after = settings.path("add_eos_token").asBoolean(false);
        if (frame.isPresent()) {
            before = !frame.get()[0].isEmpty();
            after = !frame.get()[1].isEmpty();
            replaced("bos", frame.get()[0]);
            replaced(kind.equals("WordPiece") ? "seperator" : "eos", frame.get()[1]);
        }
        values.put(KEY + "add_bos_token", GgufValue.flag(before));
        if (kind.equals("WordPiece")) {
            values.put(KEY + "add_sep_token", GgufValue.flag(after));
            values.put(KEY + "add_eos_token", GgufValue.flag(false));
        } else {
            values.put(KEY + "add_eos_token", GgufValue.flag(after));
            values.put(KEY + "add_sep_token", GgufValue.flag(false));
        }
    }

    private void replaced(String key, String token) {
        Integer id = ids.get(token);
        if (id != null) {
            values.put(KEY + key + "_token_id", GgufValue.u32(id));
        }
    }

    /** The special tokens before and after one text, each empty where there is none. */
    private static Optional<String[]> frame(JsonNode processor) {
        return switch (processor.path("type").asText("")) {
            case "BertProcessing", "RobertaProcessing" ->
                Optional.of(new String[] {
                    processor.path("cls").path(0).asText(""),
                    processor.path("sep").path(0).asText("")
                });
            case "TemplateProcessing" -> {
                String[] ends = {"", ""};
                int side = 0;
                for (JsonNode part : processor.path("single")) {
                    if (part.has("Sequence")) {
                        side = 1;
                    } else {
                        ends[side] = part.path("SpecialToken").path("id").asText("");
                    }
                }
                yield Optional.of(ends);
            }
            case "Sequence" -> {
                Optional<String[]> found = Optional.empty();
                for (JsonNode inner : processor.path("processors")) {
                    found = found.or(() -> frame(inner));
                }
                yield found;
            }
            default -> Optional.empty();
        };
    }

    private static Optional<String> template(Path folder, JsonNode settings) throws IOException {
        Path file = folder.resolve("chat_template.jinja");
        if (Files.isRegularFile(file) && Files.size(file) < 1 << 20) {
            return Optional.of(Files.readString(file));
        }
        JsonNode template = settings.path("chat_template");
        for (JsonNode named : template) {
            if (named instanceof ObjectNode entry
                    && entry.path("name").asText("").equals("default")) {
                return Optional.of(entry.path("template").asText(""));
            }
        }
        return template.isTextual() ? Optional.of(template.textValue()) : Optional.empty();
    }
}
