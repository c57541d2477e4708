package dev.adapt.formats.adapter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@DisplayName("An adapter folder")
class AdapterFilesTest {
    private static final String KEY = "base_model.model.";

    @TempDir
    private Path folder;

    @ParameterizedTest(name = "{0} = {1}")
    @CsvSource(
            delimiter = '|',
            value = {
                "use_bdlora            | {\"nblocks\": 0}           | nblocks: expected a positive integer",
                "megatron_config       | {\"a\": 1}                 | megatron_config: expected it unset",
                "layer_replication     | [[0, 2]]                   | layer_replication: expected it unset",
                "alora_invocation_tokens | [1]                      | alora_invocation_tokens: expected it unset",
                "use_something_new     | true                       | use_something_new: expected it unset: adapt does not know",
                "init_lora_weights     | \"pissa_niter_16\"         | init_lora_weights: expected a start that leaves the base",
                "init_lora_weights     | \"corda\"                  | init_lora_weights: expected a start that leaves the base",
                "peft_type             | \"NONE\"                   | peft_type: \"NONE\" is not supported",
                "r                     | 0                          | r: expected a positive integer",
                "lora_alpha            | \"8\"                      | lora_alpha: expected a number",
                "rank_pattern          | {\"q\": 1.5}               | rank_pattern: expected positive integers",
                "rank_pattern          | {\"q(\": 2}                | rank_pattern: expected regular expressions as keys",
                "alpha_pattern         | [1]                        | alpha_pattern: expected a number for each",
                "bias                  | true                     | bias: expected \"none\", \"all\" or \"lora_only\"",
                "bias                  | \"some\"                   | bias: expected \"none\", \"all\" or \"lora_only\"",
                "target_modules        | \"(\"                      | target_modules: expected a list of names or a regular",
                "target_modules        | [1]                        | target_modules: expected a list of names or a regular",
                "target_modules        | [\"v\"]                    | adapts 2 modules that its config does not name: a.0.q, a.1.q",
                "target_modules        | \"a.0.q\"                  | adapts 1 modules that its config does not name: a.1.q",
                "exclude_modules       | [\"1.q\"]                  | adapts 1 modules that its config does not name: a.1.q",
                "exclude_modules       | \".*0.*\"                  | adapts 1 modules that its config does not name: a.0.q",
                "layers_to_transform   | \"first\"                  | layers_to_transform: expected a layer's number",
                "modules_to_save       | \"head\"                   | modules_to_save: expected a list of names",
                "modules_to_save       | [\"head\"]                 | holds no tensor of the modules in modules_to_save [head]",
            })
    void isRefusedWhereItsConfigSaysWhatAdaptCannotDo(String field, String value, String reason) throws IOException {
        write(folder, field, value);
        FormatException thrown = assertThrows(FormatException.class, () -> Adapter.read(folder));
        assertTrue(thrown.getMessage().contains(reason), thrown::getMessage);
    }

    @ParameterizedTest(name = "{0} = {1}")
    @CsvSource(
            delimiter = '|',
            value = {
                "target_modules      | \"all-linear\"",
                "target_modules      | \"a\\\\.(?P<layer>[01])\\\\.q\"",
                "target_modules      | [\"q\", \"other\"]",
                "target_modules      | [\"0.q\", \"a.1.q\"]",
                "target_modules      | null",
                "init_lora_weights   | \"gaussian\"",
                "eva_config          | {\"rho\": 2.0}",
                "velora_config       | {\"scale\": 1}",
                "exclude_modules     | [\"k\"]",
                "bias                | \"all\"",
            })
    void isReadWhereItsConfigSaysWhatChangesNothing(String field, String value) throws IOException {
        write(folder, field, value);
        Adapter adapter = Adapter.read(folder);
        assertEquals(List.of("a.0.q", "a.1.q"), List.copyOf(adapter.modules()));
        assertEquals(List.of(), adapter.notes());
    }

    @Test
    void namesInOneNoteTheFieldsItDoesNotKnow() throws IOException {
        write(folder, "colour", "\"red\"");
        assertEquals(
                List.of(folder.resolve("adapter_config.json")
                        + ": fields that adapt does not know are ignored: colour"),
                Adapter.read(folder).notes());
        // a field that is off is no news
        write(folder, "use_future", "false");
        assertEquals(List.of(), Adapter.read(folder).notes());
    }

    @Test
    void ofATreeIsChosenByName() throws IOException {
        write(Files.createDirectories(folder.resolve("tree/one")), "r", "2");
        write(Files.createDirectories(folder.resolve("tree/deep/two")), "r", "2");
        Path tree = folder.resolve("tree");
        NoSuchFileException thrown = assertThrows(NoSuchFileException.class, () -> Adapter.read(tree));
        assertEquals(
                tree + ": holds several adapters: deep/two, one; give the folder of one",
                thrown.getMessage().replace(" -> ", ": "));
        assertEquals(List.of(tree.resolve("deep/two"), tree.resolve("one")), Adapter.within(tree));
        assertEquals(2, Adapter.read(tree.resolve("one")).modules().size());
    }

    @Test
    void ofPicklesIsRefusedByName() throws IOException {
        write(folder, "r", "2");
        Files.move(folder.resolve(Adapter.FILE), folder.resolve("adapter_model.bin"));
        NoSuchFileException thrown = assertThrows(NoSuchFileException.class, () -> Adapter.read(folder));
        assertTrue(thrown.getReason().startsWith("holds adapter_model.bin, a pickle"), thrown::getMessage);
    }

    @Test
    void withATensorOfAnotherMethodIsRefused() throws IOException {
        write(folder, "r", "2");
        Map<String, FloatTensor> tensors = tensors();
        tensors.put(KEY + "a.0.q.lora_magnitude_vector", new FloatTensor(Shape.of(1), new float[1]));
        SafetensorsWriter.write(folder.resolve(Adapter.FILE), tensors, Map.of());
        FormatException thrown = assertThrows(FormatException.class, () -> Adapter.read(folder));
        assertTrue(
                thrown.getMessage()
                        .contains("a.0.q.lora_magnitude_vector: is no tensor of LORA as its config describes"),
                thrown::getMessage);
    }

    @ParameterizedTest(name = "layers {0}, pattern {1}: {2} is adapted: {3}")
    @CsvSource(
            delimiter = '|',
            value = {
                "1      | null          | model.layers.1.q   | true",
                "1      | null          | model.layers.0.q   | false",
                "[0, 2] | \"layers\"    | model.layers.2.q   | true",
                "[0, 2] | [\"h\"]       | model.layers.2.q   | false",
                "[0, 2] | [\"h\", \"layers\"] | model.layers.2.q | true",
                "[]     | null          | model.layers.9.q   | true",
                "1      | null          | model.q            | false",
                "1      | null          | q                  | true",
                "1      | null          | model.layers.11.q  | false",
                "1      | null          | model.layers.1.experts.0.q | true",
                "0      | null          | model.layers.1.experts.0.q | false",
                "1      | \"layers\"      | model.layers.1.layers.0.q  | true",
                "1      | \"layers\"      | layers.1.q         | true",
                "1      | null          | layers.1.q         | false",
            })
    void keepsOnlyTheLayersItsConfigSays(String layers, String pattern, String module, boolean claimed)
            throws IOException {
        write(folder, "layers_to_transform", layers);
        Path path = folder.resolve(AdapterConfig.FILE);
        ObjectNode json = (ObjectNode) new JsonMapper().readTree(path.toFile());
        json.set("layers_pattern", new JsonMapper().readTree(pattern));
        Files.writeString(path, json.toString());
        assertEquals(claimed, AdapterConfig.read(path).targetModules().claims(module));
        assertFalse(AdapterConfig.read(path).targetModules().claims("model.layers.1.xq"));
    }

    private static void write(Path folder, String field, String value) throws IOException {
        JsonMapper mapper = new JsonMapper();
        ObjectNode json = mapper.createObjectNode();
        json.put("peft_type", "LORA").put("r", 2);
        json.putArray("target_modules").add("q");
        json.set(field, mapper.readTree(value));
        Files.writeString(folder.resolve(AdapterConfig.FILE), json.toString());
        SafetensorsWriter.write(folder.resolve(Adapter.FILE), tensors(), Map.of());
    }

    private static Map<String, FloatTensor> tensors() {
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        for (String module : List.of("a.0.q", "a.1.q")) {
            tensors.put(KEY + module + ".lora_A.weight", new FloatTensor(Shape.of(2, 3), new float[6]));
            tensors.put(KEY + module + ".lora_B.weight", new FloatTensor(Shape.of(4, 2), new float[8]));
        }
        return tensors;
    }
}
