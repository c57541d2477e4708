package dev.adapt.formats.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.Limit;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;

/**
 * The files of a checkpoint's folder that belong to the model beside its weights and config.json: the tokenizer, settings, and
 * the subfolders that {@code modules.json} of sentence-transformers names, such as {@code 1_Pooling}.
 */
public record Companions(Path folder) {
    private static final String MODULES = "modules.json";

    /** Files that make a tokenizer. */
    private static final List<String> TOKENIZER = List.of(
            "added_tokens.json",
            "chat_template.jinja",
            "merges.txt",
            "sentencepiece.bpe.model",
            "special_tokens_map.json",
            "spiece.model",
            "tokenizer.json",
            "tokenizer.model",
            "tokenizer_config.json",
            "vocab.json",
            "vocab.txt");

    /** What sentence-transformers keeps beside {@code modules.json} in the folder itself. */
    private static final List<String> OF_SENTENCES =
            List.of(MODULES, "config_sentence_transformers.json", "sentence_bert_config.json");

    /** What training and adapters write beside weights: of a run, or of another layout. */
    private static final Set<String> RECORDS = Set.of("adapter_config.json", "training.jsonl", "summary.json");

    /** Endings of the weights of other frameworks, which do not belong to a checkpoint that is written. */
    private static final List<String> FOREIGN_WEIGHTS = List.of(".ckpt", ".gguf", ".h5", ".msgpack", ".ot", ".tflite");

    /** The files in the folder itself, in order. */
    public List<Path> files() throws IOException {
        if (!Files.isDirectory(folder)) {
            return List.of();
        }
        try (Stream<Path> inside = Files.list(folder)) {
            return inside.filter(Files::isRegularFile)
                    .filter(file -> isCompanion(file.getFileName().toString()))
                    .sorted()
                    .toList();
        }
    }

    /** The names of the files and of the subfolders. */
    Set<String> names() throws IOException {
        Set<String> names = new TreeSet<>(subfolders());
        files().forEach(file -> names.add(String.valueOf(file.getFileName())));
        return names;
    }

    /**
     * Copies them, and the subfolders, into another folder.
     *
     * @param without names of files that are left out
     * @throws FormatException if one is a link out of the folder
     */
    public void copyTo(Path other, Set<String> without) throws IOException {
        for (Path companion : files()) {
            String name = String.valueOf(companion.getFileName());
            if (!without.contains(name)) {
                InputFile.found(companion).copyTo(other.resolve(name));
            }
        }
        if (!without.contains(MODULES)) {
            copySubfolders(other);
        }
    }

    private void copySubfolders(Path other) throws IOException {
        for (String subfolder : subfolders()) {
            copy(folder.resolve(subfolder), other.resolve(subfolder));
        }
    }

    /**
     * The names of the subfolders that {@code modules.json} names; none without it.
     *
     * @throws FormatException if one is no plain name
     */
    public List<String> subfolders() throws IOException {
        Path modules = folder.resolve(MODULES);
        if (!Files.isRegularFile(modules)) {
            return List.of();
        }
        List<String> names = new ArrayList<>();
        for (JsonNode module :
                new JsonMapper().readTree(InputFile.found(modules).bytes(Limit.CONFIG))) {
            String name = module.path("path").asText("");
            boolean plain = !name.contains("/") && !name.contains("\\") && !name.equals("..") && !name.equals(".");
            if (!name.isEmpty() && !plain) {
                throw new FormatException(modules, "path", "\"" + name + "\" is not the plain name of a subfolder");
            }
            if (!name.isEmpty() && Files.isDirectory(folder.resolve(name))) {
                names.add(name);
            }
        }
        return names;
    }

    private void copy(Path from, Path to) throws IOException {
        Files.createDirectories(to);
        try (Stream<Path> inside = Files.list(from)) {
            for (Path file : inside.filter(Files::isRegularFile).sorted().toList()) {
                Path copy = to.resolve(file.getFileName());
                Files.deleteIfExists(copy);
                InputFile.within(folder, file).copyTo(copy);
            }
        }
    }

    /** Whether a tokenizer has a file of that name. */
    public static boolean isTokenizer(String name) {
        return TOKENIZER.contains(name);
    }

    /** The files of a tokenizer in the folder, in order; empty where it has none. */
    public List<Path> tokenizer() {
        boolean whole = Stream.of("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
                .anyMatch(name -> Files.isRegularFile(folder.resolve(name)));
        return whole
                ? TOKENIZER.stream()
                        .map(folder::resolve)
                        .filter(Files::isRegularFile)
                        .toList()
                : List.of();
    }

    /** Copies the tokenizer into another folder, in the place of the one there. */
    public void copyTokenizerTo(Path other) throws IOException {
        for (Path file : tokenizer()) {
            Path copy = other.resolve(file.getFileName());
            Files.deleteIfExists(copy);
            InputFile.found(file).copyTo(copy);
        }
    }

    /** Whether the folder says how a text becomes one vector. */
    public boolean isOfSentences() {
        return Files.isRegularFile(folder.resolve(MODULES));
    }

    /** Whether a file of that name says how a text becomes one vector. */
    public static boolean isOfSentences(String name) {
        return OF_SENTENCES.contains(name);
    }

    /** The files in the folder itself that say how a text becomes one vector. */
    public List<Path> ofSentences() {
        return OF_SENTENCES.stream()
                .map(folder::resolve)
                .filter(Files::isRegularFile)
                .toList();
    }

    /** Copies what says how a text becomes one vector into another folder, in the place of what is there. */
    public void copySentencesTo(Path other) throws IOException {
        for (Path file : ofSentences()) {
            Path copy = other.resolve(file.getFileName());
            Files.deleteIfExists(copy);
            InputFile.found(file).copyTo(copy);
        }
        copySubfolders(other);
    }

    private static boolean isCompanion(String name) {
        return !name.startsWith(".")
                && !name.equals(Checkpoint.CONFIG)
                && !RECORDS.contains(name)
                && !name.endsWith(".safetensors")
                && !name.endsWith(".index.json")
                && !name.endsWith(".onnx")
                && !name.endsWith(".onnx_data")
                && !Checkpoint.isPickled(name)
                && FOREIGN_WEIGHTS.stream().noneMatch(name::endsWith);
    }
}
