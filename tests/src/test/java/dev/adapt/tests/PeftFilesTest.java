package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("What adapt writes of an adapter is what PEFT wrote of it")
class PeftFilesTest {
    @TempDir
    private Path folder;

    @ParameterizedTest
    @CsvSource({
        "bert, lora", "bert, lora_rs_all", "bert, lora_pattern", "bert, dora", "bert, vera_seed", "bert, vera_saved",
        "gpt2, lora", "gpt2, dora", "gpt2, vera_seed", "vit, dora", "vit, vera_saved", "llama, lora_pattern"
    })
    void fieldByField(String architecture, String name) throws IOException {
        Path cases = StoredCases.at("fixtures/" + architecture, folder.resolve("cases"));
        Path peft = cases.resolve(name);
        try (Checkpoint base = Checkpoint.open(cases.resolve("base"))) {
            Adapter adapter = Adapter.read(peft);
            BoundAdapter bound = new Binding(base).bind(adapter, false);
            bound.write(folder, names(peft), base.path());
        }
        assertEquals(tensors(peft), tensors(folder));
        JsonNode theirs = json(peft);
        JsonNode ours = json(folder);
        TreeSet<String> fields = new TreeSet<>();
        theirs.fieldNames().forEachRemaining(fields::add);
        ours.fieldNames().forEachRemaining(fields::add);
        List<String> different = new ArrayList<>();
        for (String field : fields) {
            if (!same(field, theirs.path(field), ours.path(field))) {
                different.add(field);
            }
        }
        // Python's class of the base is not ours to name, its path is this machine's, and PEFT did not write the file
        assertEquals(List.of("auto_mapping", "base_model_name_or_path", "peft_version"), different);
        assertTrue(ours.path("auto_mapping").isNull());
        assertTrue(ours.path("peft_version").isMissingNode());
        assertTrue(ours.path("base_model_name_or_path").asText().endsWith(architecture + "/base"));
    }

    /** PEFT's lists of names are sets. */
    private static boolean same(String field, JsonNode theirs, JsonNode ours) {
        if (field.equals("target_modules") || field.equals("modules_to_save")) {
            return theirs.isNull()
                    ? ours.isNull()
                    : new TreeSet<>(strings(theirs)).equals(new TreeSet<>(strings(ours)));
        }
        return theirs.equals(ours)
                || (theirs.isInt() && ours.isNumber() && theirs.asText().equals(ours.asText()));
    }

    private static List<String> strings(JsonNode array) {
        List<String> strings = new ArrayList<>();
        array.forEach(entry -> strings.add(entry.asText()));
        return strings;
    }

    private static List<String> names(Path peft) throws IOException {
        return strings(json(peft).path("target_modules"));
    }

    private static JsonNode json(Path adapter) throws IOException {
        return new JsonMapper().readTree(adapter.resolve(AdapterConfig.FILE).toFile());
    }

    /** Dtype, shape and digest of each tensor, by key. */
    private static Map<String, String> tensors(Path adapter) throws IOException {
        Map<String, String> tensors = new TreeMap<>();
        try (SafetensorsFile file = SafetensorsFile.open(adapter.resolve(Adapter.FILE))) {
            for (TensorView tensor : file.tensors()) {
                tensors.put(tensor.name(), tensor.dtype() + " " + tensor.shape() + " " + tensor.sha256());
            }
        }
        return tensors;
    }
}
