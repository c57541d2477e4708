package dev.adapt.formats.architecture.query;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Shape;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("A decoder of object queries")
class QueryDecoderTest {
    private static final String SIZES = """
            {"model_type": "query_decoder", "num_stages": 3, "hidden_size": 6, "num_attention_heads": 2,
             "intermediate_size": 7, "num_groups": 2, "num_channels": 3, "in_points": 4, "out_points": 5,
             "id2label": {"0": "a", "1": "b"},
             "lors": {"ranks": [2, 1, 3], "groups": [1, 3, 2], "projection_ranks": [1, 2, 3]}}
            """;

    private final ReferenceOps ops = new ReferenceOps();
    private final Random random = new Random(9);

    private static ModelConfig config(String json) {
        return new ModelConfig(JsonDocument.parse(Path.of("config.json"), json.getBytes(StandardCharsets.UTF_8)));
    }

    private DoubleTensor random(Shape shape) {
        return new DoubleTensor(
                shape,
                random.doubles(shape.elements()).map(value -> value - 0.5).toArray());
    }

    private DoubleTensor run(QueryDecoder decoder, Map<String, DoubleTensor> weights, Map<String, DoubleTensor> in) {
        return decoder.forward(
                new Layers<>(ops, weights::get, weights::containsKey, Map.of(), 0, Optional.empty()), in);
    }

    @Test
    @DisplayName("folds exactly: in float64 the plain one differs by rounding alone")
    void foldsExactly() {
        ModelConfig config = config(SIZES);
        QueryDecoder lors = QueryDecoder.of(config);
        QueryDecoder plain = QueryDecoder.of(QueryDecoder.plain(config));
        Map<String, DoubleTensor> weights = new LinkedHashMap<>();
        lors.requiredTensors().forEach((name, shape) -> weights.put(name, random(shape)));
        Map<String, DoubleTensor> folded = new LinkedHashMap<>(weights);
        for (int stage = 0; stage < lors.stages(); stage++) {
            folded.putAll(lors.fold(ops, weights::get, stage));
        }
        folded.keySet().retainAll(plain.requiredTensors().keySet());
        plain.requiredTensors()
                .forEach((name, shape) -> assertEquals(shape, folded.get(name).shape(), name));
        Map<String, DoubleTensor> inputs = Map.of(
                QueryDecoder.FEATURES,
                random(Shape.of(2, 3, 2, 4, 3)),
                QueryDecoder.QUERIES,
                random(Shape.of(2, 3, 6)));
        DoubleTensor expected = run(lors, weights, inputs);
        assertEquals(Shape.of(2, 3, 2 + 4), expected.shape());
        assertArrayEquals(expected.values(), run(plain, folded, inputs).values(), 1e-12);
        // and no part of LORS is there for nothing: without it the queries come out otherwise
        for (String part : new String[] {
            "ml_parameters.0",
            "mr_parameters.1",
            "sl_parameters.2",
            "sr_parameters.0",
            "out_weight_add_A.1",
            "out_weight_add_B.2",
            "out_weight_bias.1",
            "private_parameter_generator.1.weight",
            "private_parameter_generator.2.bias"
        }) {
            Map<String, DoubleTensor> without = new LinkedHashMap<>(weights);
            without.computeIfPresent(
                    "mixing." + part,
                    (name, tensor) -> new DoubleTensor(tensor.shape(), new double[tensor.values().length]));
            double[] other = run(lors, without, inputs).values();
            double largest = 0;
            for (int i = 0; i < other.length; i++) {
                largest = Math.max(largest, Math.abs(other[i] - expected.values()[i]));
            }
            assertTrue(largest > 1e-6, part + " changes the output by " + largest);
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "[2, 1, 3] | [2, 1] | ranks: expected a list of 3 positive integers, found [2,1]",
                "[1, 3, 2] | [1, 0, 2] | groups: expected a list of 3 positive integers, found [1,0,2]",
                "\"num_groups\": 2 | \"num_groups\": 2.5 | num_groups: expected a positive integer, found 2.5",
                "{\"0\": \"a\", \"1\": \"b\"} | {\"0\": \"a\", \"2\": \"b\"} | id2label: expected the names of classes",
                "\"num_attention_heads\": 2 | \"num_attention_heads\": 4 | num_attention_heads: expected a divisor",
                "{\"ranks\" | 3, \"l\": {\"ranks\" | lors: expected an object, found 3"
            })
    @DisplayName("is refused where its config is not as it must be")
    void refuses(String right, String wrong, String expected) {
        assertTrue(SIZES.contains(right), right);
        ModelConfig config = config(SIZES.replace(right, wrong));
        FormatException thrown = assertThrows(FormatException.class, () -> Architectures.of(config));
        assertTrue(thrown.getMessage().startsWith("config.json: " + expected), thrown::getMessage);
    }
}
