package dev.adapt.formats.method;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.JsonDocument;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A method in the list of methods.
 *
 * @param peftType what PEFT calls it
 * @param name what users call it, in lower case
 * @param reader reads its hyperparameters
 * @param training how it is trained where the user does not choose
 */
public record MethodType(String peftType, String name, Reader reader, Training training) {
    /** Reads a method's hyperparameters. */
    public interface Reader {
        /**
         * The method that a config describes.
         *
         * @param metadata of the adapter's file
         * @throws dev.adapt.formats.FormatException if an option that changes the result is not supported
         */
        AdapterMethod read(AdapterConfig config, Map<String, String> metadata);
    }

    /**
     * Usual settings for training, and the fields that hold them.
     *
     * @param learningRate of the method's tensors
     * @param languageRate the same for language models, which have no new head to train
     * @param rank the field of its rank, where it has one, and the usual rank
     * @param alpha the field of its alpha, where it has one, and the usual alpha for each rank
     * @param dropout the field of the dropout on its input, where it has that
     * @param settings other fields whose usual value is not PEFT's default
     */
    public record Training(
            double learningRate,
            double languageRate,
            Optional<Usual> rank,
            Optional<Usual> alpha,
            Optional<String> dropout,
            Map<String, JsonNode> settings) {
        public Training {
            settings = Map.copyOf(settings);
        }

        /** A field and its usual value. */
        public record Usual(String field, double value) {}

        /** A method without rank, alpha and dropout. */
        public static Training at(double learningRate) {
            return new Training(
                    learningRate, learningRate, Optional.empty(), Optional.empty(), Optional.empty(), Map.of());
        }

        /** The same, with a rank. */
        public Training rank(String field, int usual) {
            return new Training(
                    learningRate, languageRate, Optional.of(new Usual(field, usual)), alpha, dropout, settings);
        }

        /** The same, with an alpha. */
        public Training alpha(String field, double usualForEachRank) {
            return new Training(
                    learningRate,
                    languageRate,
                    rank,
                    Optional.of(new Usual(field, usualForEachRank)),
                    dropout,
                    settings);
        }

        /** The same, with dropout. */
        public Training dropout(String field) {
            return new Training(learningRate, languageRate, rank, alpha, Optional.of(field), settings);
        }

        /** The same, with another rate for language models. */
        public Training languageRate(double rate) {
            return new Training(learningRate, rate, rank, alpha, dropout, settings);
        }

        /** The same, with a field that differs from PEFT's default. */
        public Training set(String field, JsonNode value) {
            Map<String, JsonNode> more = new LinkedHashMap<>(settings);
            more.put(field, value);
            return new Training(learningRate, languageRate, rank, alpha, dropout, more);
        }
    }

    /**
     * A method to be trained.
     *
     * @param source what messages name as the source of the settings
     * @param settings fields of adapter_config.json that differ from the usual ones
     * @throws dev.adapt.formats.FormatException if the method has no such field, or a value cannot be
     */
    public AdapterMethod fresh(Path source, Map<String, ? extends JsonNode> settings) {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        training.rank().ifPresent(usual -> json.put(usual.field(), (int) usual.value()));
        json.setAll(training.settings());
        json.setAll(settings);
        training.alpha().ifPresent(usual -> {
            double rank = training.rank()
                    .map(own -> json.path(own.field()).doubleValue())
                    .orElse(1.0);
            if (!json.has(usual.field())) {
                json.put(usual.field(), usual.value() * rank);
            }
        });
        json.put("peft_type", peftType);
        JsonDocument document = new JsonDocument(source, json);
        for (String field : List.of("boft_dropout", "module_dropout", "rank_dropout")) {
            if (document.says(field) && json.path(field).doubleValue() != 0) {
                throw document.wrong(field, "0: adapt trains without dropout of blocks, ranks and modules");
            }
        }
        AdapterConfig config = new AdapterConfig(document);
        if (document.has("bias") && !json.path("bias").asText().equals("none")) {
            throw document.wrong("bias", "\"none\": adapt trains no biases of the base");
        }
        AdapterMethod method = reader.read(config, Map.of());
        config.requireKnown(method.configFields());
        method.untrainable().ifPresent(reason -> {
            throw new FormatException(source, method.title() + " cannot be trained: " + reason);
        });
        return method;
    }
}
