package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.method.lowrank.Lora;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.parsers.ParserConfigurationException;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.w3c.dom.Document;
import org.xml.sax.SAXException;

@DisplayName("A suite verifies many models and tells build servers what became of each")
class SuiteTest {
    private static final String CONFIG = """
            {"model_type": "bert", "architectures": ["BertForSequenceClassification"], "hidden_size": 16,
             "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 40,
             "max_position_embeddings": 32, "id2label": {"0": "pos", "1": "neg"}}
            """;

    @TempDir
    private Path folder;

    @Test
    void oneModelsFaultIsItsOwn() throws IOException, ParserConfigurationException, SAXException {
        PlantedFiles files = new PlantedFiles(folder, List.of("query"))
                .write(CONFIG, new Lora(2, 4, 0))
                .finish();
        Files.writeString(
                files.base().resolve("tokenizer.json"),
                Files.readString(TinyBert.write(folder.resolve("tokens"), 1).resolve("tokenizer.json")));
        Files.writeString(folder.resolve("dev.tsv"), "text\tlabel\na good movie\tpos\na bad book\tneg\n");
        Files.writeString(folder.resolve("turned.tsv"), "text\tlabel\na good movie\tneg\na bad book\tpos\n");
        Path suite = Files.writeString(folder.resolve("models.yaml"), """
                defaults: {device: cpu, inputs: 4}
                models:
                  - name: right
                    base: base
                    adapter: adapter
                    merged: [merged]
                    onnx: onnx/model.onnx
                    gates:
                      - size: {of: onnx, most: 1 MB}
                      - accuracy: {file: dev.tsv, of: merged, least: 0}
                      - accuracy: {file: turned.tsv, of: merged, least: 0}
                  - name: not <merged>
                    base: base
                    adapter: adapter
                    merged: base
                    tolerance: 1e-6
                  - name: too large
                    base: base
                    merged: base
                    gates:
                      - size: {of: base, most: 10}
                  - name: nowhere
                    base: base
                    merged: nothing
                """);
        Path junit = folder.resolve("junit.xml");
        Path json = folder.resolve("result.json");
        Path html = folder.resolve("result.html");
        Cli run = Cli.run("verify", "--suite", suite, "--junit", junit, "--json", json, "--html", html, "--github");
        assertEquals(4, run.exitCode(), run.errors());
        assertTrue(run.output().contains("1 of 4 models passed"), run.output());
        assertTrue(run.output().contains("equals the base: the adapter was not merged"), run.output());
        assertTrue(run.output().contains("::error title=nowhere::"), run.output());
        Document xml = DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(junit.toFile());
        assertEquals(4, xml.getElementsByTagName("testsuite").getLength());
        assertEquals(1, xml.getElementsByTagName("error").getLength());
        assertTrue(xml.getElementsByTagName("failure").getLength() >= 2);
        JsonNode result = new JsonMapper().readTree(json.toFile());
        assertFalse(result.get("passed").booleanValue());
        assertTrue(result.at("/models/0/passed").booleanValue(), result.toPrettyString());
        // of two labels, the turned ones are right where the others are not
        assertEquals(1, accuracy(result, 1) + accuracy(result, 2), result.toPrettyString());
        assertEquals(64, result.at("/models/0/files/0/sha256").textValue().length());
        assertEquals(
                "adapter-not-merged",
                result.at("/models/1/report/findings/0/cause").textValue());
        String page = Files.readString(html);
        assertTrue(page.contains("not &lt;merged&gt;") && !page.contains("{{"), page);
        // nothing is replaced unless asked
        assertEquals(2, Cli.run("verify", "--suite", suite, "--junit", junit).exitCode());
    }

    private static double accuracy(JsonNode result, int gate) {
        String found = result.at("/models/0/gates/" + gate + "/found").textValue();
        assertTrue(found.contains(" on 2 texts of "), found);
        return Double.parseDouble(found.substring(0, found.indexOf(' ')));
    }

    @Test
    void onlyTheSizeOfAGgufFileIsMeasured() throws IOException {
        Files.writeString(folder.resolve("dev.tsv"), "text\tlabel\na\tpos\nb\tneg\n");
        Path base = TinyModel.LLAMA.write(folder.resolve("base"), 1);
        Cli.succeeds("export-gguf", base, "--dtype", "f32", "--out", folder.resolve("base.gguf"));
        Path suite = Files.writeString(folder.resolve("models.yaml"), """
                defaults: {device: cpu, inputs: 2}
                models:
                  - {name: a, base: base, gguf: base.gguf, gates: [{accuracy: {file: dev.tsv, of: gguf, least: 0}}]}
                """);
        Cli run = Cli.run("verify", "--suite", suite);
        assertTrue(run.output().contains("of which only the size is measured"), run.output());
        assertTrue(run.exitCode() != 0, run.output());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "'models: []' | expected a list of 1 to 1000 models, found 0",
                "'models: [{name: a, base: b, merged: c, tolerence: 1}]' | unknown field tolerence",
                "'models: [{name: a, base: b}]' | compares at least two forms",
                "'models: [{name: a, base: b, merged: c, tolerance: -1}]' | expected a number of 0 or more",
                "'models: [{name: a, base: b, merged: c}, {name: a, base: b, merged: c}]' | the name of another model",
                "'models: [{name: a, base: b, merged: c, gates: [{speed: 1}]}]' | unknown field speed",
                "'models: [{name: a, base: b, merged: c, gates: [{size: {of: it, most: 1}}]}]' | one of base, unmerged",
                "'models: !!javax.script.ScriptEngineManager []' | is not valid YAML",
                "'{' | is not valid YAML"
            })
    void aFileThatCannotBeIsRefused(String text, String says) throws IOException {
        Path suite = Files.writeString(folder.resolve("models.yaml"), text);
        Cli run = Cli.run("verify", "--suite", suite);
        assertEquals(3, run.exitCode(), run.errors());
        assertTrue(run.errors().contains(says), run.errors());
    }

    @Test
    void optionsOfOneModelAreRefusedBesideIt() throws IOException {
        Path suite = Files.writeString(folder.resolve("models.yaml"), "models: [{name: a, base: b, merged: c}]");
        assertEquals(2, Cli.run("verify", "--suite", suite, "--base", "b").exitCode());
    }
}
