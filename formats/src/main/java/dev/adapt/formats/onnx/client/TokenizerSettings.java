package dev.adapt.formats.onnx.client;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.Limit;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;

/**
 * What a folder tells of its tokenizer. Files that lack what a program needs get it from tokenizer.json, which has the special
 * tokens but not what each is for: that is told by how the families write them.
 *
 * @param tokenizer tokenizer.json
 * @param longest tokens that a text may have
 */
record TokenizerSettings(JsonDocument tokenizer, int longest) {
    static final String TOKENIZER = "tokenizer.json";
    static final String FILE = "tokenizer_config.json";

    private static final String MOST = "model_max_length";

    /** The classes of transformers by {@code model_type}, where they are not named after BERT's. */
    private static final Map<String, String> CLASSES = Map.ofEntries(
            Map.entry("bert", "BertTokenizer"),
            Map.entry("electra", "BertTokenizer"),
            Map.entry("ernie", "BertTokenizer"),
            Map.entry("nomic_bert", "BertTokenizer"),
            Map.entry("distilbert", "DistilBertTokenizer"),
            Map.entry("mpnet", "MPNetTokenizer"),
            Map.entry("roberta", "RobertaTokenizer"),
            Map.entry("data2vec-text", "RobertaTokenizer"),
            Map.entry("xlm-roberta", "XLMRobertaTokenizer"),
            Map.entry("camembert", "CamembertTokenizer"),
            Map.entry("albert", "AlbertTokenizer"),
            Map.entry("deberta-v2", "DebertaV2Tokenizer"),
            Map.entry("gpt2", "GPT2Tokenizer"));

    private static final SequencedMap<String, List<String>> ROLES = roles();

    /** The settings of the tokenizer in a folder. */
    static TokenizerSettings in(Path folder, int longest) throws IOException {
        InputFile file = InputFile.found(folder.resolve(TOKENIZER));
        return new TokenizerSettings(JsonDocument.read(file, Limit.TOKENIZER), longest);
    }

    private static SequencedMap<String, List<String>> roles() {
        SequencedMap<String, List<String>> roles = new LinkedHashMap<>();
        roles.put("unk_token", List.of("[UNK]", "<unk>"));
        roles.put("sep_token", List.of("[SEP]", "</s>"));
        roles.put("pad_token", List.of("[PAD]", "<pad>"));
        roles.put("cls_token", List.of("[CLS]", "<s>"));
        roles.put("mask_token", List.of("[MASK]", "<mask>"));
        roles.put("bos_token", List.of("<s>", "<|begin_of_text|>", "<bos>"));
        roles.put("eos_token", List.of("</s>", "<|end_of_text|>", "<eos>", "<|endoftext|>"));
        return roles;
    }

    /** tokenizer_config.json with the class, the most tokens of a text, and the special tokens. */
    String config(String modelType) throws IOException {
        Path file = tokenizer.path().resolveSibling(FILE);
        ObjectNode config = Files.isRegularFile(file)
                ? JsonDocument.read(file).json().deepCopy()
                : new JsonMapper().createObjectNode();
        if (!config.hasNonNull("tokenizer_class")) {
            config.put("tokenizer_class", CLASSES.getOrDefault(modelType, "PreTrainedTokenizerFast"));
        }
        // transformers writes 1e30 where it knows no limit
        if (!config.hasNonNull(MOST) || config.path(MOST).doubleValue() > longest) {
            config.put(MOST, longest);
        }
        Path map = tokenizer.path().resolveSibling("special_tokens_map.json");
        ObjectNode known =
                Files.isRegularFile(map) ? JsonDocument.read(map).json() : new JsonMapper().createObjectNode();
        ROLES.forEach((role, spellings) -> {
            if (config.hasNonNull(role)) {
                return;
            }
            if (known.hasNonNull(role)) {
                config.set(role, known.get(role));
                return;
            }
            spellings.stream().filter(this::isSpecial).findFirst().ifPresent(token -> config.put(role, token));
        });
        return config.toPrettyString() + "\n";
    }

    private boolean isSpecial(String token) {
        for (JsonNode added : tokenizer.json().path("added_tokens")) {
            if (added.path("special").asBoolean()
                    && added.path("content").asText().equals(token)) {
                return true;
            }
        }
        return false;
    }

    /** tokenizer.json with the number of tokens after which a text is cut off, where it has none. */
    String cutOff() {
        ObjectNode whole = tokenizer.json().deepCopy();
        if (!whole.hasNonNull("truncation")) {
            whole.putObject("truncation")
                    .put("direction", "Right")
                    .put("max_length", longest)
                    .put("strategy", "LongestFirst")
                    .put("stride", 0);
        }
        return whole.toString();
    }
}
