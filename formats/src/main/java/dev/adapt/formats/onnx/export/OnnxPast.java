package dev.adapt.formats.onnx.export;

import dev.adapt.formats.UsageException;
import dev.adapt.formats.graph.CacheSpec;
import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.graph.KeyValueCache;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.proto.TensorProto;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The keys and values of earlier tokens as a graph takes and gives them, named as Hugging Face exporters name them.
 *
 * @param spec empty for a graph without them
 */
record OnnxPast(Optional<CacheSpec> spec) {
    static final OnnxPast NONE = new OnnxPast(Optional.empty());

    private static final String EARLIER = "past_sequence";
    private static final String ALL = "past_sequence + sequence";

    /**
     * Those of a language model.
     *
     * @throws UsageException if it is none
     */
    static OnnxPast of(Model model) {
        return new OnnxPast(
                Optional.of(
                        model.architecture()
                                .cache()
                                .orElseThrow(
                                        () -> new UsageException(
                                                "with-past",
                                                model.config().document().path()
                                                        + " describes no language model, and only those keep keys and values of earlier tokens"))));
    }

    /** A model's inputs: the mask is that of earlier tokens too, and the tokens' positions are given. */
    List<InputSpec> inputs(List<InputSpec> own) {
        if (spec.isEmpty()) {
            return own;
        }
        List<InputSpec> inputs = new ArrayList<>();
        for (InputSpec input : own) {
            inputs.add(
                    input.equals(InputSpec.MASK)
                            ? new InputSpec(input.name(), input.dtype(), List.of("batch", ALL))
                            : input);
        }
        inputs.add(InputSpec.POSITIONS);
        return inputs;
    }

    /** Adds the inputs of earlier keys and values. */
    Optional<KeyValueCache<OnnxValue>> declare(OnnxGraph graph) {
        return spec.map(own -> {
            Map<String, OnnxValue> past = new LinkedHashMap<>();
            for (String name : own.names()) {
                past.put(
                        name, graph.input(CacheSpec.PAST + name, TensorProto.DataType.FLOAT, axes(own, name, EARLIER)));
            }
            return new KeyValueCache<>(past);
        });
    }

    /** Adds the outputs of all keys and values. */
    void give(OnnxGraph graph, KeyValueCache<OnnxValue> cache) {
        cache.present()
                .forEach((name, value) ->
                        graph.output(value, CacheSpec.PRESENT + name, axes(spec.orElseThrow(), name, ALL)));
    }

    private static List<String> axes(CacheSpec spec, String name, String tokens) {
        return List.of("batch", Integer.toString(spec.heads()), tokens, Integer.toString(spec.width(name)));
    }
}
