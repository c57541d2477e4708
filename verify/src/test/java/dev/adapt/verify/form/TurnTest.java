package dev.adapt.verify.form;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.verify.runner.RecordedOutputs;
import dev.adapt.verify.runner.Runner;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("Forms take turns: only one is loaded at a time")
class TurnTest {
    private static final Map<String, Tensor> BATCH =
            Map.of("input_ids", new LongTensor(Shape.of(1, 1), new long[] {1}));

    private final List<String> events = new ArrayList<>();

    /** A form that gives a number, and tells when it is loaded, run and closed. */
    private Turn turn(String name, double gives, String... outputs) {
        Runner runner = new Runner(name, List.of(outputs), (batch, wanted) -> {
            events.add(name + " runs for " + String.join(", ", wanted));
            return given(gives, wanted);
        });
        return new Turn(runner.outputs(), () -> {
            events.add(name + " is loaded");
            return new Turn.Loaded(runner, () -> events.add(name + " is closed"));
        });
    }

    private static Map<String, DoubleTensor> given(double value, Set<String> wanted) {
        Map<String, DoubleTensor> given = new LinkedHashMap<>();
        wanted.forEach(output -> given.put(output, new DoubleTensor(Shape.of(1), new double[] {value})));
        return given;
    }

    @Test
    void eachIsClosedBeforeTheNextIsLoaded() throws IOException {
        List<Turn> turns = List.of(turn("a", 1, "logits"), turn("b", 2, "logits", "own"), turn("c", 3, "logits"));
        try (RecordedOutputs recorded = new RecordedOutputs()) {
            List<Runner> ran = Turn.all(turns, List.of(BATCH), recorded);
            assertEquals(List.of("a", "b", "c"), ran.stream().map(Runner::name).toList());
            List<String> expected = List.of(
                    "a is loaded",
                    "a runs for logits",
                    "a is closed",
                    "b is loaded",
                    "b runs for logits",
                    "b is closed",
                    "c is loaded",
                    "c runs for logits",
                    "c is closed");
            assertEquals(expected, events);
            assertEquals(3, value(ran.get(2)));
            assertEquals(1, value(ran.get(0)));
            assertEquals(2, value(ran.get(1)));
            assertEquals(expected, events, "comparing runs nothing again");
        }
    }

    private static double value(Runner runner) {
        return Optional.ofNullable(runner.run().outputs(BATCH, Set.of("logits")).get("logits"))
                .orElseThrow()
                .values()[0];
    }

    @Test
    void oneThatFailsIsClosed() {
        IllegalStateException broken = new IllegalStateException("the engine broke");
        Turn failing = turn("a", 1, "logits")
                .with(
                        List.of("logits"),
                        runner -> runner.running((batch, wanted) -> {
                            throw broken;
                        }));
        try (RecordedOutputs recorded = new RecordedOutputs()) {
            List<Turn> turns = List.of(failing, turn("b", 2, "logits"));
            assertSame(
                    broken, assertThrows(IllegalStateException.class, () -> Turn.all(turns, List.of(BATCH), recorded)));
        }
        assertEquals(List.of("a is loaded", "a is closed"), events);
    }
}
