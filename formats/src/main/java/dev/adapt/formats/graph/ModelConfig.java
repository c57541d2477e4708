package dev.adapt.formats.graph;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.Limit;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** A model's {@code config.json}. */
public record ModelConfig(JsonDocument document) {
    /** The file's name in a checkpoint folder. */
    public static final String FILE = Checkpoint.CONFIG;

    /** What the names of transformers' classes for the classification of tokens end with. */
    public static final String TOKEN_CLASSES = "ForTokenClassification";

    /** Our own field: which pooling feeds the head, where it is not the architecture's own. */
    private static final String POOLING = "adapt_pooling";

    /**
     * Reads a config.json.
     *
     * @throws dev.adapt.formats.FormatException if it is not a JSON object
     */
    public static ModelConfig read(Path path) throws IOException {
        return new ModelConfig(JsonDocument.read(path));
    }

    /**
     * A checkpoint's config.json.
     *
     * @throws NoSuchFileException if it has none
     */
    public static ModelConfig of(Checkpoint checkpoint) throws NoSuchFileException {
        return new ModelConfig(checkpoint.requireConfig());
    }

    /**
     * Reads the config that a user named: the file, or the folder that holds it.
     *
     * @throws dev.adapt.formats.FormatException if it is not one JSON object
     */
    public static ModelConfig at(Path path) throws IOException {
        return Files.isDirectory(path)
                ? read(path.resolve(FILE))
                : new ModelConfig(JsonDocument.read(InputFile.named(path), Limit.CONFIG));
    }

    /** The architecture's name in transformers, {@code model_type}. */
    public String modelType() {
        return document.string("model_type").orElseThrow(() -> document.wrong("model_type", "a string"));
    }

    /** The name of the model's class in transformers, without which it is empty. */
    public String className() {
        return document.json().path("architectures").path(0).asText("");
    }

    /** This config with the fields that it lacks, as transformers' configuration class of its type has them by default. */
    public ModelConfig complete() {
        return complete(modelType());
    }

    /**
     * The same, for the config of a part that may leave out its type.
     *
     * @param type the part's {@code model_type} in transformers
     */
    public ModelConfig complete(String type) {
        return new ModelConfig(ConfigDefaults.complete(document, type));
    }

    /**
     * The config of the language model in one of several parts: the object that describes it, with the class, the tie and
     * the labels of the whole, which transformers' classes of the whole go by.
     */
    public ModelConfig ofText() {
        ObjectNode text = document.object("text_config").json().deepCopy();
        for (String field :
                List.of("architectures", "tie_word_embeddings", "id2label", "label2id", "num_labels", POOLING)) {
            if (document.has(field)) {
                text.set(field, document.json().get(field));
            }
        }
        return new ModelConfig(new JsonDocument(document.path(), text));
    }

    /**
     * The classification head the model has, if it has one.
     *
     * @param own the pooling of transformers' class for the architecture
     */
    public Optional<Head> head(Pooling own) {
        Optional<Pooling> ofClass = className().endsWith(TOKEN_CLASSES)
                ? Optional.of(Pooling.TOKENS)
                : className().endsWith("ForSequenceClassification")
                                || className().endsWith("ForImageClassification")
                        ? Optional.of(own)
                        : Optional.empty();
        return ownPooling().or(() -> ofClass).map(used -> new Head(used, labels()));
    }

    /**
     * What the classification head reads, where no class of transformers has a head that reads it: adapt's own field tells.
     *
     * @throws dev.adapt.formats.FormatException if that is no pooling
     */
    public Optional<Pooling> ownPooling() {
        return document.string(POOLING)
                .map(name -> Pooling.named(name)
                        .orElseThrow(() -> document.wrong(POOLING, "one of mean, cls, pooler, last, max, tokens")));
    }

    List<String> labels() {
        List<String> labels = new ArrayList<>();
        JsonNode byId = document.json().path("id2label");
        for (int id = 0; byId.has(Integer.toString(id)); id++) {
            labels.add(byId.get(Integer.toString(id)).asText());
        }
        // transformers leaves id2label out for its default of two classes
        int count = byId.isObject()
                ? labels.size()
                : document.json().path("num_labels").asInt(2);
        if (count > Limits.LABELS) {
            throw document.wrong("num_labels", "at most " + Limits.LABELS);
        }
        for (int id = labels.size(); id < count; id++) {
            labels.add("LABEL_" + id);
        }
        return labels;
    }

    /**
     * This config for a model with another head.
     *
     * @param architecture that of this config
     */
    public ModelConfig withHead(Head head, Architecture architecture) {
        ObjectNode changed = document.json().deepCopy();
        ObjectNode id2label = changed.putObject("id2label");
        ObjectNode label2id = changed.putObject("label2id");
        for (int id = 0; id < head.labels().size(); id++) {
            id2label.put(Integer.toString(id), head.labels().get(id));
            label2id.put(head.labels().get(id), id);
        }
        changed.remove("num_labels");
        boolean tokens = head.pooling() == Pooling.TOKENS;
        if (!tokens) {
            // one output is a number, by transformers' convention
            changed.put("problem_type", head.labels().size() == 1 ? "regression" : "single_label_classification");
        }
        String own = architecture.classifierClass();
        if (tokens || head.pooling() == architecture.ownPooling()) {
            changed.remove(POOLING);
            changed.putArray("architectures").add(tokens ? stem(own) + TOKEN_CLASSES : own);
        } else {
            // transformers has no class for this head: one with a head would compute something else
            changed.putArray("architectures").add(stem(own) + "Model");
            changed.put(POOLING, head.pooling().name().toLowerCase(Locale.ROOT));
        }
        return new ModelConfig(new JsonDocument(document.path(), changed));
    }

    /** What the names of a model's classes begin with: {@code Bert} of {@code BertForSequenceClassification}. */
    private static String stem(String className) {
        int task = className.indexOf("For");
        return task >= 0 ? className.substring(0, task) : className.replaceFirst("Model$", "");
    }

    /**
     * This config for the body of the model: transformers' bare class, without a head.
     *
     * @param architecture that of this config
     */
    public ModelConfig withoutHead(Architecture architecture) {
        ObjectNode changed = document.json().deepCopy();
        changed.remove(List.of(POOLING, "problem_type", "id2label", "label2id", "num_labels"));
        changed.putArray("architectures").add(stem(architecture.classifierClass()) + "Model");
        return new ModelConfig(new JsonDocument(document.path(), changed));
    }

    /** This config for a model that is stored in float32. */
    public ModelConfig inFloat32() {
        ObjectNode changed = document.json().deepCopy();
        for (String field : List.of("dtype", "torch_dtype")) {
            if (document.has(field)) {
                changed.put(field, "float32");
            }
        }
        return new ModelConfig(new JsonDocument(document.path(), changed));
    }
}
