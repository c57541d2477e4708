package dev.adapt.verify.diagnosis;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.verify.Cause;
import dev.adapt.verify.Finding;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

/** Compares the config of a form with that of the first. */
public record ConfigDiagnosis(ModelConfig expected, ModelConfig found) {
    /** Fields that change no number of the graph. */
    private static final Set<String> NO_MATTER = Set.of(
            "_name_or_path",
            "name_or_path",
            "transformers_version",
            "torch_dtype",
            "dtype",
            "architectures",
            "use_cache",
            "label2id",
            "id2label",
            "num_labels",
            "problem_type",
            "output_attentions",
            "output_hidden_states",
            "return_dict",
            "bos_token_id",
            "eos_token_id",
            "tie_word_embeddings",
            "vocab_size",
            "initializer_range",
            "hidden_dropout_prob",
            "attention_probs_dropout_prob",
            "attention_dropout",
            "classifier_dropout");

    private static final int SHOWN = 80;

    /** Fields that differ. */
    public List<Finding> of(String form) {
        List<Finding> findings = new ArrayList<>(labels(form));
        ObjectNode one = expected.document().json();
        ObjectNode other = found.document().json();
        Set<String> fields = new TreeSet<>();
        one.fieldNames().forEachRemaining(fields::add);
        other.fieldNames().forEachRemaining(fields::add);
        for (String field : fields) {
            JsonNode should = one.path(field);
            JsonNode own = other.path(field);
            boolean both = !should.isMissingNode() && !own.isMissingNode();
            if (NO_MATTER.contains(field) || equal(should, own)) {
                continue;
            }
            if (both || isOfGraph(field)) {
                String sentence = "config.json: " + field + " is " + text(own) + ", and should be " + text(should);
                findings.add(new Finding(form, cause(field), words(field) + sentence, List.of()));
            }
        }
        return findings;
    }

    private static boolean equal(JsonNode one, JsonNode other) {
        boolean numbers = one.isNumber() && other.isNumber();
        boolean nothing = (one.isNull() || one.isMissingNode()) && (other.isNull() || other.isMissingNode());
        return nothing || one.equals(other) || (numbers && one.doubleValue() == other.doubleValue());
    }

    /** Fields that mean something else where they are left out. */
    private static boolean isOfGraph(String field) {
        return cause(field) != Cause.CONFIG || field.contains("window") || field.contains("scal");
    }

    private static Cause cause(String field) {
        return switch (field) {
            case "rope_theta", "rope_parameters", "rope_scaling", "rotary_emb_base" -> Cause.ROPE_BASE;
            case "hidden_act", "activation_function", "hidden_activation" -> Cause.ACTIVATION;
            case "num_hidden_layers", "n_layer", "num_layers" -> Cause.LAYER_MISSING;
            case "layer_norm_eps", "rms_norm_eps", "layer_norm_epsilon", "num_attention_heads", "n_head" ->
                Cause.OPTION;
            default -> Cause.CONFIG;
        };
    }

    private static String words(String field) {
        return switch (cause(field)) {
            case ROPE_BASE -> "wrong rope base: ";
            case ACTIVATION -> "wrong activation: ";
            case LAYER_MISSING -> "layers are missing: ";
            default -> "";
        };
    }

    private static String text(JsonNode node) {
        String text = node.isMissingNode() ? "not given" : node.toString();
        return text.length() <= SHOWN ? text : text.substring(0, SHOWN) + "…";
    }

    /** Labels in another order, which no output shows. */
    public List<Finding> labels(String form) {
        JsonNode should = expected.document().json().path("id2label");
        JsonNode own = found.document().json().path("id2label");
        if (!should.isObject() || !own.isObject() || should.equals(own)) {
            return List.of();
        }
        List<JsonNode> one = new ArrayList<>();
        List<JsonNode> other = new ArrayList<>();
        should.forEach(one::add);
        own.forEach(other::add);
        boolean same = one.size() == other.size() && new HashSet<>(one).equals(new HashSet<>(other));
        return same
                ? List.of(new Finding(
                        form,
                        Cause.LABEL_ORDER,
                        "a head of another label order: config.json: id2label is " + text(own) + ", and should be "
                                + text(should),
                        List.of(),
                        true))
                : List.of();
    }
}
