package dev.adapt.cli.inspect;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.cli.terminal.TextTable;
import dev.adapt.formats.io.JsonDocument;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** What config.json says of a model: its class, layers, heads, sizes and labels. */
record ModelLines(Path path, JsonDocument config) {
    /** Labels that a line shows; a model of images may have thousands. */
    private static final int LABELS = 8;

    /** A size, and the fields that families of models name it by. */
    private record Size(String title, List<String> fields) {}

    private static final List<Size> SIZES = List.of(
            new Size("layers", List.of("num_hidden_layers", "n_layer", "n_layers", "num_layers")),
            new Size("decoder layers", List.of("decoder_layers", "num_decoder_layers")),
            new Size("attention heads", List.of("num_attention_heads", "n_head", "n_heads", "num_heads")),
            new Size("key-value heads", List.of("num_key_value_heads")),
            new Size("experts", List.of("num_local_experts", "num_experts", "n_routed_experts")),
            new Size("hidden size", List.of("hidden_size", "n_embd", "d_model", "dim")),
            new Size("vocabulary", List.of("vocab_size")));

    TextTable table() {
        TextTable table = new TextTable("checkpoint", path.toString());
        config.string("model_type").ifPresent(type -> table.row("model type", type));
        JsonNode classes = config.json().path("architectures");
        if (classes.isArray() && !classes.isEmpty()) {
            table.row("class", classes.get(0).asText());
        }
        for (Size size : SIZES) {
            number(size).ifPresent(value -> table.row(size.title(), value));
        }
        List<String> labels = labels();
        if (!labels.isEmpty()) {
            String shown = String.join(", ", labels.subList(0, Math.min(LABELS, labels.size())));
            table.row("labels", labels.size() + ": " + shown + (labels.size() > LABELS ? ", …" : ""));
        }
        return table;
    }

    /** In the config, or where it holds several models in that of its language model. */
    private Optional<String> number(Size size) {
        for (JsonNode node : List.of(config.json(), config.json().path("text_config"))) {
            for (String field : size.fields()) {
                if (node.path(field).isIntegralNumber()) {
                    return Optional.of(node.path(field).asText());
                }
            }
        }
        return Optional.empty();
    }

    private List<String> labels() {
        List<String> labels = new ArrayList<>();
        config.json().path("id2label").forEach(label -> labels.add(label.asText()));
        return labels;
    }
}
