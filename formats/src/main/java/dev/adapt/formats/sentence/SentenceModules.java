package dev.adapt.formats.sentence;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.Limit;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.SequencedMap;
import java.util.stream.Stream;

/**
 * How a model makes one vector of a text, as a folder of sentence-transformers says: {@code modules.json} lists the steps,
 * {@code 1_Pooling/config.json} says how token states become a vector, and {@code 2_Normalize} that it has length 1.
 *
 * @param pooling {@link Pooling#MEAN}, {@link Pooling#CLS}, {@link Pooling#MAX} or {@link Pooling#LAST}
 * @param normalized whether vectors have length 1
 * @param longest tokens that a text is cut off after, where the folder says so
 * @param prompts what stands before a text, by its part: {@link #QUERY}, {@link #DOCUMENT} or a name of the user's
 * @param usual the prompt of texts whose part is not known, if there is one
 */
public record SentenceModules(
        Pooling pooling,
        boolean normalized,
        OptionalInt longest,
        SequencedMap<String, String> prompts,
        Optional<String> usual) {
    /** The file that lists the steps. */
    public static final String FILE = "modules.json";

    /** The prompt of a question. */
    public static final String QUERY = "query";

    /** The prompt of a passage that is looked for. */
    public static final String DOCUMENT = "document";

    /** What that is called, in the order in which sentence-transformers looks for it. */
    private static final List<String> DOCUMENTS = List.of(DOCUMENT, "passage", "corpus");

    private static final String POOLING_FOLDER = "1_Pooling";
    private static final String NORMALIZE_FOLDER = "2_Normalize";
    private static final String LENGTH_FILE = "sentence_bert_config.json";
    private static final String PROMPTS_FILE = "config_sentence_transformers.json";
    private static final String LONGEST = "max_seq_length";
    private static final String USUAL = "default_prompt_name";
    private static final int MOST_TOKENS = 1 << 24;

    /** The fields of the pooling's config, by what they switch on. */
    private static final SequencedMap<String, Optional<Pooling>> MODES = modes();

    public SentenceModules {
        prompts = Collections.unmodifiableSequencedMap(new LinkedHashMap<>(prompts));
        if (!isOfSentences(pooling)) {
            throw new IllegalArgumentException(pooling + " makes no vector of token states");
        }
    }

    /** What reads token states alone: without prompts, and without a limit on the length. */
    public SentenceModules(Pooling pooling, boolean normalized) {
        this(pooling, normalized, OptionalInt.empty(), new LinkedHashMap<>(), Optional.empty());
    }

    private static SequencedMap<String, Optional<Pooling>> modes() {
        SequencedMap<String, Optional<Pooling>> modes = new LinkedHashMap<>();
        modes.put("cls_token", Optional.of(Pooling.CLS));
        modes.put("mean_tokens", Optional.of(Pooling.MEAN));
        modes.put("max_tokens", Optional.of(Pooling.MAX));
        modes.put("mean_sqrt_len_tokens", Optional.empty());
        modes.put("weightedmean_tokens", Optional.empty());
        modes.put("lasttoken", Optional.of(Pooling.LAST));
        return modes;
    }

    /** Whether sentence-transformers has this pooling. */
    public static boolean isOfSentences(Pooling pooling) {
        return switch (pooling) {
            case MEAN, CLS, LAST, MAX -> true;
            case POOLER, TOKENS -> false;
        };
    }

    /** The same with other prompts. */
    public SentenceModules withPrompts(SequencedMap<String, String> others, Optional<String> usualOne) {
        return new SentenceModules(pooling, normalized, longest, others, usualOne);
    }

    /** The same with another limit on the length. */
    public SentenceModules withLongest(int tokens) {
        return new SentenceModules(pooling, normalized, OptionalInt.of(tokens), prompts, usual);
    }

    /** What stands before a text: the prompt of that name, else the usual one, else nothing. */
    public String prompt(String name) {
        List<String> names = name.equals(DOCUMENT) ? DOCUMENTS : List.of(name);
        return Stream.concat(names.stream(), usual.stream())
                .filter(prompts::containsKey)
                .findFirst()
                .map(own -> prompts.getOrDefault(own, ""))
                .orElse("");
    }

    /**
     * What a folder says, if it has a {@code modules.json}.
     *
     * @throws FormatException if a step is none of the three that adapt computes, or a file is not as it must be
     */
    public static Optional<SentenceModules> of(Path folder) throws IOException {
        Path modules = folder.resolve(FILE);
        if (!Files.isRegularFile(modules)) {
            return Optional.empty();
        }
        Optional<Pooling> pooling = Optional.empty();
        boolean normalized = false;
        for (JsonNode module : list(modules)) {
            String type = module.path("type").asText("");
            switch (type.substring(type.lastIndexOf('.') + 1)) {
                case "Transformer" -> {}
                case "Pooling" ->
                    pooling = Optional.of(
                            pooling(folder, modules, module.path("path").asText("")));
                case "Normalize" -> normalized = true;
                default ->
                    throw new FormatException(
                            modules,
                            "type",
                            "is \"" + type + "\"; adapt computes the steps Transformer, Pooling and Normalize only");
            }
        }
        if (pooling.isEmpty()) {
            throw new FormatException(modules, "lists no step of the type Pooling, which makes one vector of a text");
        }
        return Optional.of(prompted(folder, new SentenceModules(pooling.get(), normalized)));
    }

    private static JsonNode list(Path modules) throws IOException {
        try {
            JsonNode list = new JsonMapper().readTree(InputFile.found(modules).bytes(Limit.CONFIG));
            if (!list.isArray()) {
                throw new FormatException(modules, "must hold a list of steps");
            }
            return list;
        } catch (JsonProcessingException e) {
            throw new FormatException(modules, "is not valid JSON: " + e.getOriginalMessage(), e);
        }
    }

    private static Pooling pooling(Path folder, Path modules, String name) throws IOException {
        if (name.isEmpty() || name.contains("/") || name.contains("\\") || name.startsWith(".")) {
            throw new FormatException(modules, "path", "\"" + name + "\" is not the plain name of a subfolder");
        }
        Path file = folder.resolve(name).resolve("config.json");
        JsonDocument config = JsonDocument.read(InputFile.within(folder, file), Limit.CONFIG);
        if (!config.flag("include_prompt", true)) {
            throw config.wrong("include_prompt", "true: vectors without the states of a prompt are not supported");
        }
        List<String> asked = new ArrayList<>();
        MODES.keySet().stream()
                .filter(mode -> config.flag("pooling_mode_" + mode, false))
                .forEach(asked::add);
        Optional<Pooling> pooling = asked.isEmpty()
                ? config.string("pooling_mode").flatMap(SentenceModules::named)
                : asked.size() == 1 ? mode(asked.getFirst()) : Optional.empty();
        return pooling.orElseThrow(() -> config.wrong(
                asked.isEmpty() ? "pooling_mode" : "pooling_mode_" + asked.getLast(),
                "one of mean, cls, max and lasttoken, alone"));
    }

    private static Optional<Pooling> mode(String name) {
        return MODES.getOrDefault(name, Optional.empty());
    }

    /** By the one name that newer files have in the place of flags: the beginning of a flag's. */
    private static Optional<Pooling> named(String name) {
        return Stream.of(name, name + "_token", name + "_tokens")
                .flatMap(mode -> mode(mode).stream())
                .findFirst();
    }

    private static SentenceModules prompted(Path folder, SentenceModules modules) throws IOException {
        SentenceModules own = modules;
        Path length = folder.resolve(LENGTH_FILE);
        if (Files.isRegularFile(length)) {
            JsonDocument config = JsonDocument.read(length);
            if (config.says(LONGEST)) {
                own = own.withLongest(config.positive(LONGEST, MOST_TOKENS));
            }
        }
        Path prompts = folder.resolve(PROMPTS_FILE);
        if (!Files.isRegularFile(prompts)) {
            return own;
        }
        JsonDocument config = JsonDocument.read(prompts);
        SequencedMap<String, String> all = new LinkedHashMap<>();
        for (Map.Entry<String, JsonNode> prompt : config.json().path("prompts").properties()) {
            if (!prompt.getValue().isTextual()) {
                throw config.wrong("prompts", "an object of strings");
            }
            all.put(prompt.getKey(), prompt.getValue().textValue());
        }
        Optional<String> usual = config.says(USUAL) ? config.string(USUAL) : Optional.empty();
        if (usual.isPresent() && !all.containsKey(usual.get())) {
            throw config.wrong(USUAL, "the name of one of its prompts");
        }
        return own.withPrompts(all, usual);
    }

    /**
     * The files that say so, by their paths in a folder.
     *
     * @param width of token states
     */
    public SequencedMap<String, String> files(int width) {
        JsonMapper json = new JsonMapper();
        SequencedMap<String, String> files = new LinkedHashMap<>();
        ArrayNode steps = json.createArrayNode();
        step(steps, "", "Transformer");
        step(steps, POOLING_FOLDER, "Pooling");
        if (normalized) {
            step(steps, NORMALIZE_FOLDER, "Normalize");
        }
        files.put(FILE, steps.toPrettyString() + "\n");
        ObjectNode own = json.createObjectNode();
        own.put("word_embedding_dimension", width);
        MODES.forEach((mode, makes) -> own.put("pooling_mode_" + mode, makes.equals(Optional.of(pooling))));
        own.put("include_prompt", true);
        files.put(POOLING_FOLDER + "/config.json", own.toPrettyString() + "\n");
        longest.ifPresent(tokens -> {
            ObjectNode length = json.createObjectNode();
            length.put(LONGEST, tokens);
            length.put("do_lower_case", false);
            files.put(LENGTH_FILE, length.toPrettyString() + "\n");
        });
        ObjectNode texts = json.createObjectNode();
        ObjectNode all = texts.putObject("prompts");
        prompts.forEach(all::put);
        usual.ifPresentOrElse(name -> texts.put(USUAL, name), () -> texts.putNull(USUAL));
        texts.put("similarity_fn_name", "cosine");
        files.put(PROMPTS_FILE, texts.toPrettyString() + "\n");
        return files;
    }

    private static void step(ArrayNode steps, String path, String type) {
        ObjectNode step = steps.addObject();
        step.put("idx", steps.size() - 1);
        step.put("name", Integer.toString(steps.size() - 1));
        step.put("path", path);
        step.put("type", "sentence_transformers.models." + type);
    }

    /** The names of the files and folders that {@link #write} may make. */
    public static List<String> names() {
        return List.of(FILE, POOLING_FOLDER, NORMALIZE_FOLDER, LENGTH_FILE, PROMPTS_FILE);
    }

    /**
     * Writes the files into an existing folder, in the place of those there.
     *
     * @param width of token states
     */
    public void write(Path folder, int width) throws IOException {
        for (Map.Entry<String, String> file : files(width).entrySet()) {
            Path path = folder.resolve(file.getKey());
            Files.createDirectories(path.resolveSibling(""));
            Files.writeString(path, file.getValue());
        }
        if (normalized) {
            Files.createDirectories(folder.resolve(NORMALIZE_FOLDER));
        }
    }
}
