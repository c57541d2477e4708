package dev.adapt.verify.diagnosis;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.verify.Cause;
import dev.adapt.verify.ReferenceRunner;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Mistakes in the graph of a form: another option than the model's config.json has, or a layer left out.
 *
 * @param ropeBase what the form's file holds, where it tells
 */
record GraphMistakes(Model model, OptionalDouble ropeBase) {
    private static final List<String> THETAS = List.of("rope_theta", "rotary_emb_base");
    private static final List<Double> BASES = List.of(1e4, 5e5, 1e6, 1e5, 5e6, 5e4, 1.5e5, 8e6);
    private static final List<String> EPSILONS =
            List.of("layer_norm_eps", "rms_norm_eps", "layer_norm_epsilon", "norm_epsilon");
    private static final List<Double> SMALL = List.of(1e-5, 1e-6, 1e-12, 1e-7, 1e-8, 1e-3);
    private static final List<String> ACTIVATIONS = List.of("hidden_act", "activation_function", "hidden_activation");
    private static final List<String> LAYERS = List.of("num_hidden_layers", "n_layer", "num_layers");
    private static final List<String> HEADS = List.of("num_attention_heads", "n_head");
    private static final List<String> SWITCHES = List.of(
            "sliding_window",
            "rope_scaling",
            "final_logit_softcapping",
            "attn_logit_softcapping",
            "logit_scale",
            "logits_scaling",
            "embedding_multiplier",
            "residual_multiplier",
            "attention_multiplier",
            "use_qk_norm");
    private static final int MOST_LAYERS = 48;
    private static final String POSITION_TABLE = "embeddings.position_embeddings.weight";
    private static final Pattern NUMBERED = Pattern.compile("^(.*?\\.|)(\\d+)(\\..*)$");

    List<Hypothesis> all() {
        List<Hypothesis> all = new ArrayList<>();
        rope(all);
        options(all);
        pooling(all);
        positions(all);
        layers(all);
        return all;
    }

    private ObjectNode config() {
        return model.config().document().json().deepCopy();
    }

    private void add(List<Hypothesis> all, Cause cause, String sentence, Consumer<ObjectNode> change) {
        add(all, cause, sentence, change, name -> name);
    }

    /** The model under a changed config; none where that is no model of these weights. */
    private void add(
            List<Hypothesis> all,
            Cause cause,
            String sentence,
            Consumer<ObjectNode> change,
            Function<String, String> leaf) {
        ObjectNode json = config();
        change.accept(json);
        try {
            Model changed = model.with(
                    new ModelConfig(new JsonDocument(model.config().document().path(), json)));
            all.add(new Hypothesis(
                    cause,
                    sentence,
                    (inputs, wanted) -> new ReferenceRunner(changed, name -> model.leaf(leaf.apply(name)))
                            .outputs(inputs, wanted)));
        } catch (FormatException | IllegalArgumentException e) {
            // not every option fits every architecture: a model that cannot be is no explanation
            return;
        }
    }

    /** The object of a config that has a field, itself or one level below. */
    private static Optional<ObjectNode> holder(ObjectNode config, String field) {
        if (config.hasNonNull(field)) {
            return Optional.of(config);
        }
        for (JsonNode inner : config) {
            if (inner instanceof ObjectNode object && object.hasNonNull(field)) {
                return Optional.of(object);
            }
        }
        return Optional.empty();
    }

    private void rope(List<Hypothesis> all) {
        Set<Double> bases = new LinkedHashSet<>();
        ropeBase.ifPresent(base -> bases.add(rounded(base)));
        bases.addAll(BASES);
        for (String field : THETAS) {
            double own = holder(config(), field)
                    .map(object -> object.path(field).doubleValue())
                    .orElse(field.equals("rope_theta") ? 1e4 : 0);
            for (double base : own == 0 ? Set.<Double>of() : bases) {
                if (Math.abs(base - own) > 1e-3 * own) {
                    add(
                            all,
                            Cause.ROPE_BASE,
                            String.format(
                                    Locale.ROOT,
                                    "wrong rope base: it computes with %.6g, %s is %.6g",
                                    base,
                                    field,
                                    own),
                            json -> holder(json, field).orElse(json).put(field, base));
                }
            }
        }
    }

    private static double rounded(double base) {
        return Double.parseDouble(String.format(Locale.ROOT, "%.3g", base));
    }

    private void options(List<Hypothesis> all) {
        for (String field : EPSILONS) {
            Optional<Double> own =
                    holder(config(), field).map(object -> object.path(field).doubleValue());
            for (double other : own.isPresent() ? SMALL : List.<Double>of()) {
                if (other != own.get()) {
                    add(
                            all,
                            Cause.OPTION,
                            "it computes with " + field + " " + other + ", config.json says " + own.get(),
                            json -> holder(json, field).orElse(json).put(field, other));
                }
            }
        }
        for (String field : ACTIVATIONS) {
            Optional<String> own =
                    holder(config(), field).map(object -> object.path(field).asText());
            for (String other : own.isPresent() ? List.of("gelu", "gelu_new", "relu", "silu") : List.<String>of()) {
                if (!other.equals(own.get())) {
                    add(
                            all,
                            Cause.ACTIVATION,
                            "wrong activation: it computes " + other + ", " + field + " is " + own.get(),
                            json -> holder(json, field).orElse(json).put(field, other));
                }
            }
        }
        for (String field : HEADS) {
            int own = config().path(field).asInt(0);
            for (int other : new int[] {own / 2, own * 2}) {
                if (own > 1 && other > 0) {
                    add(
                            all,
                            Cause.OPTION,
                            "it computes with " + other + " attention heads, " + field + " is " + own,
                            json -> json.put(field, other));
                }
            }
        }
        for (String field : SWITCHES) {
            if (config().hasNonNull(field)) {
                add(all, Cause.OPTION, "it computes as if config.json had no " + field, json -> json.putNull(field));
            }
        }
        if (config().path("rope_parameters").isObject()) {
            add(all, Cause.OPTION, "it computes with plain rotary embeddings, config.json scales them", json -> {
                ObjectNode plain = json.putObject("rope_parameters");
                plain.put("rope_type", "default");
                holder(config(), "rope_theta").ifPresent(object -> plain.set("rope_theta", object.get("rope_theta")));
            });
        }
    }

    private void pooling(List<Hypothesis> all) {
        Optional<Head> head = model.architecture().head();
        for (Pooling other : head.isPresent() ? Pooling.values() : new Pooling[0]) {
            if (other == head.get().pooling()) {
                continue;
            }
            String sentence = "wrong pooling: its head reads "
                    + other.name().toLowerCase(Locale.ROOT) + ", and should read "
                    + head.get().pooling().name().toLowerCase(Locale.ROOT);
            add(all, sentence, new Head(other, head.get().labels()));
        }
    }

    private void add(List<Hypothesis> all, String sentence, Head head) {
        try {
            Model changed = model.with(model.config().withHead(head));
            all.add(new Hypothesis(
                    Cause.POOLING, sentence, (inputs, wanted) -> new ReferenceRunner(changed).outputs(inputs, wanted)));
        } catch (FormatException | IllegalArgumentException e) {
            // not every architecture has every pooling
            return;
        }
    }

    /** A table of positions read some rows off, or in its first row only. */
    private void positions(List<Hypothesis> all) {
        if (!model.weightNames().contains(POSITION_TABLE)) {
            return;
        }
        Tensor table = model.leaf(POSITION_TABLE);
        int rows = (int) table.shape().dim(0);
        for (int by : new int[] {1, 2, -1}) {
            all.add(moved(
                    "positions off by " + Math.abs(by) + ": it reads row i " + (by > 0 ? "+ " : "- ") + Math.abs(by)
                            + " for position i",
                    row -> Math.min(rows - 1, Math.max(0, row + by)),
                    table));
        }
        all.add(moved("positions ignored: it reads row 0 for all", row -> 0, table));
    }

    private Hypothesis moved(String sentence, Function<Integer, Integer> source, Tensor table) {
        float[] values = table.toFloats();
        int rows = (int) table.shape().dim(0);
        int width = rows == 0 ? 0 : values.length / rows;
        float[] changed = new float[values.length];
        for (int row = 0; row < rows; row++) {
            System.arraycopy(values, source.apply(row) * width, changed, row * width, width);
        }
        FloatTensor other = new FloatTensor(table.shape(), changed);
        return new Hypothesis(
                Cause.POSITIONS,
                sentence,
                (inputs, wanted) -> new ReferenceRunner(
                                model, name -> name.equals(POSITION_TABLE) ? other : model.leaf(name))
                        .outputs(inputs, wanted));
    }

    private void layers(List<Hypothesis> all) {
        for (String field : LAYERS) {
            int count = config().path(field).asInt(0);
            if (count < 2 || count > MOST_LAYERS || model.isUnmerged()) {
                continue;
            }
            for (int layer = 0; layer < count; layer++) {
                int skipped = layer;
                add(
                        all,
                        Cause.LAYER_MISSING,
                        "layer " + layer + " is missing: it computes as if there were none",
                        json -> {
                            json.put(field, count - 1);
                            shorten(json, count, skipped);
                        },
                        name -> after(name, skipped, count));
            }
        }
    }

    /** Lists that have an entry for each layer lose one. */
    private static void shorten(ObjectNode json, int count, int layer) {
        for (JsonNode list : json) {
            if (list.isArray() && list.size() == count) {
                ((ArrayNode) list).remove(layer);
            }
        }
    }

    /** The name of a tensor in the whole model, of one in the model without a layer. */
    private static String after(String name, int skipped, int count) {
        Matcher numbered = NUMBERED.matcher(name);
        if (!numbered.matches() || numbered.group(2).length() > 4) {
            return name;
        }
        int layer = Integer.parseInt(numbered.group(2));
        return layer >= skipped && layer < count - 1 ? numbered.group(1) + (layer + 1) + numbered.group(3) : name;
    }
}
