package dev.adapt.formats.method.dense;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Methods;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.Shape;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("C3A's block sizes")
class C3aTest {
    private static AdapterMethod method(String fields) {
        String json = "{\"peft_type\": \"C3A\", " + fields + "}";
        return Methods.of(
                new AdapterConfig(
                        JsonDocument.parse(Path.of(AdapterConfig.FILE), json.getBytes(StandardCharsets.UTF_8))),
                Map.of());
    }

    private static Shape kernel(AdapterMethod method, String module) {
        Target target = new Target(module, module, module + ".weight", 512, 1024, false);
        return method.parts(target, List.of(target)).getFirst().shape();
    }

    @Test
    @DisplayName("follow their pattern, with and without a usual size")
    void pattern() {
        AdapterMethod method = method("\"block_size_pattern\": {\"query\": 64}");
        assertEquals(Shape.of(8, 16, 64), kernel(method, "layer.0.query"));
        assertEquals(Shape.of(2, 4, 256), kernel(method, "layer.0.value"));
        AdapterMethod both = method("\"block_size\": 128, \"block_size_pattern\": {\"query\": 64}");
        assertEquals(Shape.of(8, 16, 64), kernel(both, "layer.0.query"));
        assertEquals(Shape.of(4, 8, 128), kernel(both, "layer.0.value"));
    }

    @Test
    @DisplayName("that are none are refused")
    void none() {
        FormatException thrown =
                assertThrows(FormatException.class, () -> method("\"block_size_pattern\": {\"query\": 0}"));
        assertTrue(thrown.getMessage().contains("block_size_pattern"), thrown::getMessage);
    }
}
