package dev.adapt.formats.sentence;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.graph.Pooling;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.SequencedMap;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

@DisplayName("The files of sentence-transformers")
class SentenceModulesTest {
    /** As sentence-transformers/all-MiniLM-L6-v2 has them. */
    private static final String MODULES = """
            [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
             {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
             {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]
            """;

    @TempDir
    private Path folder;

    private void write(String modules, String pooling) throws IOException {
        Files.writeString(folder.resolve("modules.json"), modules);
        Path file = Files.createDirectories(folder.resolve("1_Pooling")).resolve("config.json");
        Files.writeString(file, pooling);
    }

    @ParameterizedTest
    @EnumSource(names = {"MEAN", "CLS", "MAX", "LAST"})
    @DisplayName("are read back as they were written")
    void readBack(Pooling pooling) throws IOException {
        SequencedMap<String, String> prompts = new LinkedHashMap<>();
        prompts.put("query", "query: ");
        prompts.put("document", "passage: ");
        for (boolean normalized : new boolean[] {true, false}) {
            SentenceModules written =
                    new SentenceModules(pooling, normalized, OptionalInt.of(256), prompts, Optional.of("query"));
            Path own = Files.createDirectories(folder.resolve("own" + normalized));
            written.write(own, 384);
            assertEquals(Optional.of(written), SentenceModules.of(own));
            assertEquals(normalized, Files.isDirectory(own.resolve("2_Normalize")));
            assertTrue(Files.readString(own.resolve("1_Pooling/config.json"))
                    .contains("\"word_embedding_dimension\" : 384"));
        }
    }

    @Test
    @DisplayName("say pooling and length, and give a text the prompt of its part, else the usual one")
    void read() throws IOException {
        assertTrue(SentenceModules.of(folder).isEmpty());
        write(MODULES, "{\"word_embedding_dimension\": 384, \"pooling_mode_cls_token\": true}");
        Files.writeString(folder.resolve("sentence_bert_config.json"), "{\"max_seq_length\": 512}");
        Files.writeString(
                folder.resolve("config_sentence_transformers.json"),
                "{\"prompts\": {\"query\": \"find: \", \"corpus\": \"told: \"}, \"default_prompt_name\": null}");
        SentenceModules found = SentenceModules.of(folder).orElseThrow();
        assertEquals(Pooling.CLS, found.pooling());
        assertTrue(found.normalized());
        assertEquals(OptionalInt.of(512), found.longest());
        assertEquals("find: ", found.prompt("query"));
        assertEquals("told: ", found.prompt("document"));
        assertEquals("", found.prompt("other"));
        assertEquals(
                "find: ",
                found.withPrompts(found.prompts(), Optional.of("query")).prompt("other"));
    }

    @ParameterizedTest
    @CsvSource({"cls,CLS", "mean,MEAN", "max,MAX", "lasttoken,LAST"})
    @DisplayName("may name the pooling in one word")
    void oneWord(String word, Pooling pooling) throws IOException {
        write(
                MODULES.lines().limit(2).reduce("", String::concat).replaceAll(",$", "]"),
                "{\"pooling_mode\": \"" + word + "\"}");
        SentenceModules found = SentenceModules.of(folder).orElseThrow();
        assertEquals(pooling, found.pooling());
        assertFalse(found.normalized());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "[{\"path\": \"2_Dense\", \"type\": \"sentence_transformers.models.Dense\"}] | {} | Dense",
                "[] | {} | Pooling",
                "{} | {} | list",
                "[{\"path\": \"../x\", \"type\": \"Pooling\"}] | {} | plain name",
                "[{\"path\": \"1_Pooling\", \"type\": \"Pooling\"}] | {\"pooling_mode_weightedmean_tokens\": true} | mean, cls",
                "[{\"path\": \"1_Pooling\", \"type\": \"Pooling\"}] | {\"pooling_mode_cls_token\": true,"
                        + " \"pooling_mode_mean_tokens\": true} | alone",
                "[{\"path\": \"1_Pooling\", \"type\": \"Pooling\"}] | {\"pooling_mode_cls_token\": true,"
                        + " \"include_prompt\": false} | include_prompt"
            })
    @DisplayName("are refused by name where adapt computes something else")
    void refused(String modules, String pooling, String named) throws IOException {
        write(modules, pooling);
        FormatException refused = assertThrows(FormatException.class, () -> SentenceModules.of(folder));
        assertTrue(refused.getMessage().contains(named), refused::getMessage);
    }
}
