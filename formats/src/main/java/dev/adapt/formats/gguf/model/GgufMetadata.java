package dev.adapt.formats.gguf.model;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.gguf.GgufFile;
import dev.adapt.formats.gguf.GgufHeader;
import dev.adapt.formats.gguf.GgufTensor;
import dev.adapt.formats.gguf.GgufValue;
import dev.adapt.formats.io.JsonDocument;
import java.util.List;
import java.util.Optional;

/** What the metadata of a model's file tell of its hyperparameters, of an architecture that is known. */
record GgufMetadata(GgufFile file, GgufHeader header, GgufArchitecture architecture) {
    /** A config.json made of the metadata. */
    JsonDocument config() {
        for (String name : GgufImport.NO_WEIGHTS) {
            if (file.find(name).isPresent()) {
                throw new FormatException(
                        file.path(),
                        name,
                        "scales rotary positions in a way that the metadata do not tell a config.json;"
                                + " take the checkpoint it was made of");
            }
        }
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.putArray("architectures").add(architecture.className());
        json.put("model_type", architecture.types().getFirst());
        architecture.requires().properties().forEach(rule -> {
            if (!rule.getValue().isEmpty()) {
                json.set(rule.getKey().replace("!", ""), rule.getValue().path(0));
            }
        });
        architecture
                .keys()
                .forEach((key, rule) -> number(key)
                        .ifPresent(value -> put(json, rule.split(" ", -1)[1].replaceFirst("\\|.*", ""), value)));
        architecture
                .expertLength()
                .ifPresent(field -> number("expert_feed_forward_length").ifPresent(value -> put(json, field, value)));
        number("attention.key_length").ifPresent(value -> put(json, "head_dim", value));
        number("attention.sliding_window")
                .filter(window -> window.longValue() > 0)
                .ifPresent(value -> put(json, architecture.encoder() ? "local_attention" : "sliding_window", value));
        if (architecture.queryScale().isPresent()) {
            json.put(GgufConfig.QUERY_SCALAR, assumedScalar());
        }
        json.put("vocab_size", table().shape().dim(0));
        json.put("tie_word_embeddings", file.find("output.weight").isEmpty());
        rope(json);
        for (String token : List.of("bos", "eos")) {
            if (header.metadata().get("tokenizer.ggml." + token + "_token_id") instanceof GgufValue.Whole id) {
                json.put(token + "_token_id", id.value());
            }
        }
        return new JsonDocument(file.path(), json);
    }

    private void rope(ObjectNode json) {
        number("rope.freq_base").ifPresent(base -> json.put("rope_theta", base.doubleValue()));
        number("rope.freq_base_swa").ifPresent(base -> json.put("rope_local_base_freq", base.doubleValue()));
        Optional<String> type = header.text(architecture.name() + ".rope.scaling.type");
        if (type.isPresent() && !type.get().equals("none")) {
            ObjectNode scaling = json.putObject("rope_scaling");
            scaling.put("rope_type", type.get());
            number("rope.scaling.factor").ifPresent(factor -> scaling.put("factor", factor.doubleValue()));
            number("rope.scaling.original_context_length")
                    .ifPresent(length -> scaling.put("original_max_position_embeddings", length.longValue()));
        }
    }

    private static void put(ObjectNode json, String field, Number value) {
        if (field.startsWith("@")) {
            return;
        }
        if (value instanceof Long whole) {
            json.put(field, whole);
        } else {
            json.put(field, value.doubleValue());
        }
    }

    Optional<Number> number(String key) {
        return switch (header.metadata().get(architecture.name() + "." + key)) {
            case GgufValue.Whole whole -> Optional.of(whole.value());
            // a float32 as people write it: 1.0E-5 and not 9.999999747378752E-6
            case GgufValue.Real real -> Optional.of(Double.parseDouble(real.shown()));
            case null, default -> Optional.empty();
        };
    }

    GgufTensor table() {
        return file.find("token_embd.weight")
                .filter(table -> table.shape().rank() == 2)
                .orElseThrow(
                        () -> new FormatException(file.path(), "token_embd.weight", "is missing: expected a matrix"));
    }

    double assumedScalar() {
        long heads = number("attention.head_count").orElse(1).longValue();
        long width = number("embedding_length").orElse(1).longValue();
        long headSize = number("attention.key_length").orElse(256).longValue();
        return GgufConfig.assumedScalar(
                architecture, number("block_count").orElse(1).longValue(), width, Math.max(1, heads), headSize);
    }
}
