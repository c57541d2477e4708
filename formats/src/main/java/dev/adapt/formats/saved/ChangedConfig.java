package dev.adapt.formats.saved;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.adapter.PromptFormat;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.names.Families;
import dev.adapt.formats.names.Family;
import dev.adapt.formats.names.TensorNames;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A checkpoint's config.json after an adapter's change; of any model, and without more of it than must change. */
public final class ChangedConfig {
    /** Our own field: which pooling feeds the head, where transformers has no class for it. */
    private static final String POOLING = "adapt_pooling";

    /** What the name of transformers' class without a head ends with. */
    private static final String BARE = "Model";

    private static final String ARCHITECTURES = "architectures";
    private static final String VOCABULARY = "vocab_size";
    private static final String TIED = "tie_word_embeddings";
    private static final Pattern CLASS = Pattern.compile("(.+?)(For[A-Z]\\w*|LMHeadModel|DoubleHeadsModel|Model)");

    private final ObjectNode config;
    private final Family family;

    private ChangedConfig(ObjectNode config) {
        this.config = config;
        Families families = Families.read();
        this.family = families.ofType(config.path("model_type").asText("")).orElseGet(families::unknown);
    }

    /** The config after a change. */
    public static JsonDocument of(JsonDocument base, BaseChange change) {
        ChangedConfig changed = new ChangedConfig(base.json().deepCopy());
        change.head().ifPresent(head -> changed.head(head, change.task()));
        if (change.head().isEmpty()) {
            change.task().ifPresent(changed::name);
        }
        if (change.head().isEmpty()
                && change.task().isEmpty()
                && change.sentences().isPresent()) {
            changed.strip();
        }
        change.vocabulary().ifPresent(changed::words);
        if (change.unties()) {
            changed.untie();
        }
        change.prompt().ifPresent(prompt -> changed.config.put(PromptFormat.FIELD, prompt.key()));
        return new JsonDocument(base.path(), changed.config);
    }

    /** The config of the same model without a head, where the name of its class is known. */
    public static JsonDocument bare(JsonDocument base) {
        ChangedConfig changed = new ChangedConfig(base.json().deepCopy());
        changed.strip();
        return new JsonDocument(base.path(), changed.config);
    }

    private void strip() {
        config.remove(POOLING);
        name(BARE);
    }

    private void head(Head head, Optional<String> task) {
        ObjectNode id2label = config.putObject("id2label");
        ObjectNode label2id = config.putObject("label2id");
        for (int id = 0; id < head.labels().size(); id++) {
            id2label.put(Integer.toString(id), head.labels().get(id));
            label2id.put(head.labels().get(id), id);
        }
        config.remove("num_labels");
        boolean tokens = head.pooling() == Pooling.TOKENS;
        String ending = tokens ? ModelConfig.TOKEN_CLASSES : task.orElse(family.classifier());
        if (ending.equals(family.classifier())) {
            // one output is a number, by transformers' convention
            config.put("problem_type", problem(head.labels().size()));
        }
        String pooling = head.pooling().name().toLowerCase(Locale.ROOT);
        boolean named = (tokens || task.isPresent() || pooling.equals(family.pooling())) && name(ending);
        if (named) {
            config.remove(POOLING);
        } else {
            // transformers has no class for this head: one with a head would compute something else
            name(BARE);
            config.put(POOLING, pooling);
        }
    }

    /** What the logits of so many classes are. */
    private String problem(int classes) {
        String several = "multi_label_classification";
        boolean multiple = config.path("problem_type").asText("").equals(several);
        return classes == 1 ? "regression" : multiple ? several : "single_label_classification";
    }

    /** Names the class, if it is known what the names of this model's classes begin with. */
    private boolean name(String ending) {
        String own = config.path(ARCHITECTURES).path(0).asText("");
        Matcher named = CLASS.matcher(own);
        Optional<String> stem = named.matches() ? Optional.of(named.group(1)) : family.className();
        stem.ifPresent(name -> config.putArray(ARCHITECTURES).add(name + ending));
        return stem.isPresent();
    }

    private void words(int words) {
        boolean inside = false;
        for (String part : TensorNames.TEXT_CONFIGS) {
            if (config.get(part) instanceof ObjectNode text && text.has(VOCABULARY)) {
                text.put(VOCABULARY, words);
                inside = true;
            }
        }
        if (!inside || config.has(VOCABULARY)) {
            config.put(VOCABULARY, words);
        }
    }

    private void untie() {
        config.put(TIED, false);
        for (String part : TensorNames.TEXT_CONFIGS) {
            JsonNode text = config.path(part);
            if (text instanceof ObjectNode object && object.has(TIED)) {
                object.put(TIED, false);
            }
        }
    }
}
