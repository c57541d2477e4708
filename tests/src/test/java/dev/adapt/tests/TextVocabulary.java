package dev.adapt.tests;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.SequencedMap;
import java.util.SequencedSet;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Tokenizers of any size, learned from texts: one of each kind that tokenizer.json knows, as checkpoints have them. They are
 * valid and of the usual form; that they compress well does not matter.
 */
enum TextVocabulary {
    /** GPT-2's: bytes and merges, words apart. */
    BYTE_LEVEL,
    /** SentencePiece's BPE, as Llama 2 has it: a space is put before the text, unknown characters become bytes. */
    SENTENCEPIECE,
    /** The same without a space before the text, as Gemma has it. */
    SENTENCEPIECE_BARE,
    /** SentencePiece's Unigram, as T5 has it: text is split at spaces. */
    UNIGRAM,
    /** The same where spaces are collapsed and not split at, as ALBERT has it. */
    UNIGRAM_SPACED,
    /** BERT's, in lower case. */
    WORDPIECE;

    private static final String SPACE = "\u2581";
    private static final Pattern WORD =
            Pattern.compile("'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+");
    private static final JsonMapper JSON = new JsonMapper();

    /** Special tokens by role: those of BERT for WordPiece. */
    private List<String> special() {
        return this == WORDPIECE ? List.of("[PAD]", "[UNK]", "[CLS]", "[SEP]") : List.of("<unk>", "<s>", "</s>");
    }

    /**
     * Writes tokenizer.json and tokenizer_config.json.
     *
     * @param size tokens at most
     * @param added more tokens, found in texts before anything else: those in {@code <|…|>} are special
     */
    void write(Path folder, int size, List<String> texts, List<String> added) throws IOException {
        ObjectNode json = JSON.createObjectNode();
        json.put("version", "1.0");
        ArrayNode addedTokens = json.putArray("added_tokens");
        int learned = size - added.size();
        SequencedMap<String, Integer> tokens = model(json, learned, texts);
        special().forEach(token -> added(addedTokens, token, Objects.requireNonNull(tokens.get(token)), true));
        for (String token : added) {
            int id = tokens.size() + added.indexOf(token);
            added(addedTokens, token, id, token.startsWith("<|"));
        }
        Files.writeString(folder.resolve("tokenizer.json"), json.toString());
        ObjectNode config = JSON.createObjectNode();
        config.put("tokenizer_class", "PreTrainedTokenizerFast");
        config.put("unk_token", this == WORDPIECE ? "[UNK]" : "<unk>");
        if (this == WORDPIECE) {
            config.put("cls_token", "[CLS]").put("sep_token", "[SEP]").put("pad_token", "[PAD]");
        } else {
            config.put("bos_token", "<s>").put("eos_token", "</s>");
        }
        Files.writeString(folder.resolve("tokenizer_config.json"), config.toString());
    }

    private static void added(ArrayNode tokens, String text, int id, boolean special) {
        ObjectNode token = tokens.addObject().put("id", id).put("content", text).put("special", special);
        List.of("single_word", "lstrip", "rstrip").forEach(flag -> token.put(flag, false));
        token.put("normalized", !special);
    }

    private SequencedMap<String, Integer> model(ObjectNode json, int size, List<String> texts) {
        ObjectNode model = json.putObject("model");
        return switch (this) {
            case BYTE_LEVEL -> byteLevel(json, model, size, texts);
            case SENTENCEPIECE, SENTENCEPIECE_BARE -> sentencePiece(json, model, size, texts);
            case UNIGRAM, UNIGRAM_SPACED -> unigram(json, model, size, texts);
            case WORDPIECE -> wordPiece(json, model, size, texts);
        };
    }

    private SequencedMap<String, Integer> byteLevel(ObjectNode json, ObjectNode model, int size, List<String> texts) {
        for (String part : List.of("pre_tokenizer", "decoder")) {
            ObjectNode level = json.putObject(part).put("type", "ByteLevel").put("add_prefix_space", false);
            level.put("trim_offsets", true).put("use_regex", true);
        }
        SequencedSet<String> tokens = new LinkedHashSet<>(special());
        // the likeliest first: small tables have not all bytes
        for (byte value : " abcdefghijklmnopqrstuvwxyz".getBytes(StandardCharsets.US_ASCII)) {
            tokens.add(byteName(value));
        }
        for (int value = 0; value < 256; value++) {
            boolean printable = value > 32 && value < 127;
            if (tokens.size() < size && (printable || size > 400)) {
                tokens.add(byteName(value));
            }
        }
        Map<String, Integer> words = new TreeMap<>();
        for (String text : texts) {
            Matcher word = WORD.matcher(text);
            while (word.find()) {
                StringBuilder named = new StringBuilder();
                for (byte value : word.group().getBytes(StandardCharsets.UTF_8)) {
                    named.append(byteName(value & 0xff));
                }
                words.merge(named.toString(), 1, Integer::sum);
            }
        }
        merges(model, words, tokens, size);
        return bpe(model, tokens);
    }

    /** The character that stands for a byte. */
    private static String byteName(int value) {
        int character = value;
        boolean own = (value >= 33 && value <= 126) || (value >= 161 && value <= 172) || value >= 174;
        if (!own) {
            character = 256 + (value <= 32 ? value : value <= 160 ? value - 127 + 33 : 67);
        }
        return Character.toString(character);
    }

    private SequencedMap<String, Integer> sentencePiece(
            ObjectNode json, ObjectNode model, int size, List<String> texts) {
        ArrayNode normalizers =
                json.putObject("normalizer").put("type", "Sequence").putArray("normalizers");
        if (this == SENTENCEPIECE) {
            normalizers.addObject().put("type", "Prepend").put("prepend", SPACE);
        }
        ObjectNode replace = normalizers.addObject().put("type", "Replace").put("content", SPACE);
        replace.putObject("pattern").put("String", " ");
        SequencedSet<String> tokens = new LinkedHashSet<>(special());
        for (int value = 0; value < 256 && size > 400; value++) {
            tokens.add(String.format(Locale.ROOT, "<0x%02X>", value));
        }
        Map<String, Integer> words = spaced(texts);
        characters(words, size / 8 + 30).forEach(tokens::add);
        merges(model, words, tokens, size);
        model.put("byte_fallback", size > 400).put("fuse_unk", true).put("unk_token", "<unk>");
        return bpe(model, tokens);
    }

    /** Words with the mark of a space before them, and how many spaces follow each other. */
    private static Map<String, Integer> spaced(List<String> texts) {
        Map<String, Integer> words = new TreeMap<>();
        for (String text : texts) {
            for (String word : text.split(" ", -1)) {
                words.merge(SPACE + word, 1, Integer::sum);
            }
        }
        words.put(SPACE.repeat(4), 1000);
        return words;
    }

    private static List<String> characters(Map<String, Integer> words, int most) {
        Map<String, Integer> counts = new TreeMap<>();
        words.forEach((word, count) ->
                word.codePoints().forEach(each -> counts.merge(Character.toString(each), count, Integer::sum)));
        return counts.entrySet().stream()
                .sorted(Map.Entry.comparingByValue(Comparator.reverseOrder()))
                .limit(most)
                .map(Map.Entry::getKey)
                .toList();
    }

    private static SequencedMap<String, Integer> bpe(ObjectNode model, SequencedSet<String> tokens) {
        model.put("type", "BPE");
        ObjectNode vocabulary = model.putObject("vocab");
        return numbered(tokens, vocabulary);
    }

    private static SequencedMap<String, Integer> numbered(SequencedSet<String> tokens, ObjectNode vocabulary) {
        SequencedMap<String, Integer> ids = new LinkedHashMap<>();
        for (String token : tokens) {
            vocabulary.put(token, ids.size());
            ids.put(token, ids.size());
        }
        return ids;
    }

    /** The most frequent pair is merged, again and again. */
    private static void merges(ObjectNode model, Map<String, Integer> words, Set<String> tokens, int size) {
        Map<List<String>, Integer> parts = new HashMap<>();
        words.entrySet().stream()
                .sorted(Map.Entry.<String, Integer>comparingByValue().reversed())
                .limit(3000)
                .forEach(word -> parts.merge(
                        word.getKey().codePoints().mapToObj(Character::toString).toList(),
                        word.getValue(),
                        Integer::sum));
        ArrayNode merges = model.putArray("merges");
        Map<List<String>, Integer> current = parts;
        while (tokens.size() < size) {
            Map<List<String>, Integer> pairs = new HashMap<>();
            current.forEach((word, count) -> {
                for (int i = 0; i + 1 < word.size(); i++) {
                    pairs.merge(word.subList(i, i + 2), count, Integer::sum);
                }
            });
            pairs.keySet().removeIf(pair -> !tokens.containsAll(pair));
            if (pairs.isEmpty()) {
                return;
            }
            List<String> best = pairs.entrySet().stream()
                    .max(Map.Entry.<List<String>, Integer>comparingByValue()
                            .thenComparing(pair -> String.join(" ", pair.getKey())))
                    .orElseThrow()
                    .getKey();
            best.forEach(merges.addArray()::add);
            tokens.add(String.join("", best));
            Map<List<String>, Integer> merged = new HashMap<>();
            current.forEach((word, count) -> merged.merge(joined(word, best), count, Integer::sum));
            current = merged;
        }
    }

    private static List<String> joined(List<String> word, List<String> pair) {
        List<String> joined = new ArrayList<>();
        for (int i = 0; i < word.size(); i++) {
            boolean here = i + 1 < word.size() && word.subList(i, i + 2).equals(pair);
            joined.add(here ? String.join("", pair) : word.get(i));
            i += here ? 1 : 0;
        }
        return joined;
    }

    private SequencedMap<String, Integer> unigram(ObjectNode json, ObjectNode model, int size, List<String> texts) {
        ObjectNode metaspace;
        if (this == UNIGRAM) {
            ArrayNode steps =
                    json.putObject("pre_tokenizer").put("type", "Sequence").putArray("pretokenizers");
            steps.addObject().put("type", "WhitespaceSplit");
            metaspace = steps.addObject();
        } else {
            ObjectNode replace =
                    json.putObject("normalizer").put("type", "Replace").put("content", " ");
            replace.putObject("pattern").put("Regex", " {2,}");
            metaspace = json.putObject("pre_tokenizer");
        }
        metaspace.put("type", "Metaspace");
        metaspace.put("replacement", SPACE).put("prepend_scheme", "always").put("split", true);
        Map<String, Integer> words = spaced(texts);
        Map<String, Integer> pieces = new TreeMap<>();
        words.forEach((word, count) -> {
            int[] letters = word.codePoints().toArray();
            for (int from = 0; from < letters.length; from++) {
                for (int to = from + 1; to <= Math.min(letters.length, from + 9); to++) {
                    boolean inner = SPACE.codePointAt(0) == letters[from] || to - from < 5;
                    if (inner) {
                        pieces.merge(new String(letters, from, to - from), count, Integer::sum);
                    }
                }
            }
        });
        SequencedSet<String> tokens = new LinkedHashSet<>(special());
        characters(words, size / 8 + 30).forEach(tokens::add);
        pieces.entrySet().stream()
                .sorted(Comparator.comparingLong((Map.Entry<String, Integer> piece) ->
                                -(long) piece.getValue() * (piece.getKey().length() - 1))
                        .thenComparing(Map.Entry::getKey))
                .limit(size)
                .map(Map.Entry::getKey)
                .forEach(piece -> {
                    if (tokens.size() < size) {
                        tokens.add(piece);
                    }
                });
        double total = pieces.values().stream().mapToLong(count -> count).sum();
        model.put("type", "Unigram").put("unk_id", 0).put("byte_fallback", false);
        ArrayNode vocabulary = model.putArray("vocab");
        SequencedMap<String, Integer> ids = new LinkedHashMap<>();
        for (String token : tokens) {
            double score = special().contains(token) ? 0 : Math.log((pieces.getOrDefault(token, 1) + 0.5) / total);
            vocabulary.addArray().add(token).add(score);
            ids.put(token, ids.size());
        }
        return ids;
    }

    private SequencedMap<String, Integer> wordPiece(ObjectNode json, ObjectNode model, int size, List<String> texts) {
        ObjectNode normalizer = json.putObject("normalizer").put("type", "BertNormalizer");
        normalizer.put("clean_text", true).put("handle_chinese_chars", true).put("lowercase", true);
        normalizer.putNull("strip_accents");
        json.putObject("pre_tokenizer").put("type", "BertPreTokenizer");
        ObjectNode processor = json.putObject("post_processor").put("type", "BertProcessing");
        processor.putArray("sep").add("[SEP]").add(3);
        processor.putArray("cls").add("[CLS]").add(2);
        Map<String, Integer> words = new TreeMap<>();
        for (String text : texts) {
            for (String word : text.toLowerCase(Locale.ROOT).split("[^\\p{L}\\p{N}]+", -1)) {
                words.merge(word, 1, Integer::sum);
            }
        }
        SequencedSet<String> tokens = new LinkedHashSet<>(special());
        for (String each : characters(words, (size - special().size()) / 3)) {
            tokens.add(each);
            tokens.add("##" + each);
        }
        for (char mark : ".,!?'-:;()\"$%".toCharArray()) {
            if (size > 400) {
                tokens.add(String.valueOf(mark));
            }
        }
        Map<String, Integer> pieces = new TreeMap<>();
        words.forEach((word, count) -> {
            for (int at = 2; at <= word.length(); at++) {
                pieces.merge(word.substring(0, at), count, Integer::sum);
                pieces.merge("##" + word.substring(at - 2), count, Integer::sum);
            }
        });
        pieces.entrySet().stream()
                .sorted(Map.Entry.<String, Integer>comparingByValue().reversed())
                .limit(size)
                .forEach(piece -> {
                    if (tokens.size() < size) {
                        tokens.add(piece.getKey());
                    }
                });
        model.put("type", "WordPiece").put("unk_token", "[UNK]").put("continuing_subword_prefix", "##");
        model.put("max_input_chars_per_word", 100);
        return numbered(tokens, model.putObject("vocab"));
    }
}
