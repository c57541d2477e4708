package dev.adapt.verify.compare;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.verify.input.Inputs;
import dev.adapt.verify.runner.Precision;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

class ReportTest {
    private static final String UNMERGED = "base + adapter, unmerged (DJL, CUDA)";
    private static final String ONNX = "ONNX (ONNX Runtime, CUDA)";
    private static final String REFERENCE = "reference, base + adapter (float64)";
    private static final Comparison EQUAL = new Comparison(
            UNMERGED,
            ONNX,
            "logits",
            Optional.of(new Comparison.Limit(Precision.FLOAT32, 1e-4)),
            Optional.of(new Errors(
                    1.25e-6,
                    3e-7,
                    4e-6,
                    1e-6,
                    0.9996,
                    new Errors.Likeness(0.999, Optional.of(2e-9), Optional.of(0.98), Optional.empty()))),
            Optional.of(new Place(2, "logits", List.of(0L, 17L, 5L), 0.5, 0.500001)),
            Optional.empty());
    private static final Comparison BROKEN = new Comparison(
            UNMERGED,
            REFERENCE,
            "logits",
            Optional.empty(),
            Optional.empty(),
            Optional.empty(),
            Optional.of("batch 3: 1 of 3 values are NaN"));

    private static Report report(Comparison... comparisons) {
        return new Report(
                new Report.Summary(7, "7 sequences", OptionalLong.of(5), Optional.of(new Inputs.Lengths(128, 512))),
                new Tolerance(1e-4, 1e-2),
                List.of(UNMERGED, ONNX, REFERENCE),
                List.of(comparisons),
                List.of("mask of " + ONNX + ": it holds BOOL values"),
                List.of());
    }

    @Test
    void oneFailureFailsTheWhole() {
        assertTrue(report(EQUAL).passed());
        assertFalse(report(EQUAL, BROKEN).passed());
        assertEquals(1.25e-6, report(EQUAL, BROKEN).maxAbsolute());
    }

    @Test
    void theTableFitsAHundredColumns() {
        String text = report(EQUAL, BROKEN).text();
        text.lines().forEach(line -> assertTrue(line.length() <= 100, line));
        // rounded down: 100 % would hide the one row in 2500 that differs
        assertTrue(text.contains("1.3e-06") && text.contains("99.9 %"), text);
        String uncompared = "\n\nnot compared: mask of " + ONNX + ": it holds BOOL values\n";
        assertTrue(
                text.endsWith("FAIL\n    batch 3: 1 of 3 values are NaN" + uncompared
                        + "FAIL: 1 of 2 comparisons differ by more than the tolerance\n"),
                text);
        assertTrue(
                report(EQUAL).text().endsWith("PASS" + uncompared + "PASS: outputs agree within 1.0e-04 on 7 inputs\n"),
                report(EQUAL).text());
    }

    @Test
    @DisplayName("the verdict says by which limits outputs agree, not only float32's")
    void namesEveryLimit() {
        Comparison rounded = new Comparison(
                UNMERGED,
                REFERENCE,
                "logits",
                Optional.of(new Comparison.Limit(Precision.BFLOAT16, 0.16)),
                EQUAL.errors(),
                EQUAL.worst(),
                Optional.empty());
        assertEquals(
                "outputs agree within 1.0e-04 and 1.6e-01 of the row's root mean square, or of 1 where that is less"
                        + " (bfloat16) on 7 inputs",
                report(EQUAL, rounded).verdict());
    }

    @Test
    void theJsonHasStableNames() throws Exception {
        JsonNode json = new JsonMapper().readTree(report(EQUAL, BROKEN).json());
        assertFalse(json.get("passed").booleanValue());
        assertEquals(1e-4, json.get("tolerance").doubleValue());
        assertEquals("7 sequences", json.get("inputs").textValue());
        assertEquals(5, json.get("seed").longValue());
        assertEquals(128, json.get("longest_sequence").intValue());
        assertEquals(512, json.get("model_length").intValue());
        assertEquals(
                "mask of " + ONNX + ": it holds BOOL values",
                json.get("not_compared").get(0).textValue());
        assertEquals(ONNX, json.get("runners").get(1).textValue());
        JsonNode equal = json.get("comparisons").get(0);
        assertEquals(UNMERGED, equal.get("left").textValue());
        assertEquals(ONNX, equal.get("right").textValue());
        assertTrue(equal.get("passed").booleanValue());
        assertEquals("float32", equal.get("precision").textValue());
        assertEquals(1e-4, equal.get("limit").doubleValue());
        assertEquals(1.25e-6, equal.get("max_absolute").doubleValue());
        assertEquals(3e-7, equal.get("mean_absolute").doubleValue());
        assertEquals(4e-6, equal.get("max_relative").doubleValue());
        assertEquals(1e-6, equal.get("mean_relative").doubleValue());
        assertEquals(0.9996, equal.get("argmax_agreement").doubleValue());
        assertEquals(0.999, equal.get("min_cosine").doubleValue());
        assertEquals(2e-9, equal.get("max_kl_divergence").doubleValue());
        assertEquals(0.98, equal.get("top5_agreement").doubleValue());
        assertEquals(17, equal.get("worst").get("index").get(1).intValue());
        JsonNode broken = json.get("comparisons").get(1);
        assertFalse(broken.has("max_absolute"));
        assertEquals("batch 3: 1 of 3 values are NaN", broken.get("failure").textValue());
    }
}
