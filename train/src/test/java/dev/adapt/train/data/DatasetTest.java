package dev.adapt.train.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.train.data.Dataset.Columns;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("A data file")
class DatasetTest {
    @TempDir
    private Path folder;

    @Test
    @DisplayName("with a header gives text and label by name, wherever they stand")
    void byName() throws IOException {
        Dataset data = read("d.tsv", "id\tlabel\tsentence\n1\tgood\tone two\n2\tbad\tthree\n");
        assertEquals(List.of(new Example("one two", "good", 2), new Example("three", "bad", 3)), data.examples());
        assertEquals(List.of("bad", "good"), data.labels());
        assertEquals(List.of(1, 0), data.classes(data.labels()));
    }

    @Test
    @DisplayName("without a header gives the column with fewer values as the label")
    void byCount() throws IOException {
        Dataset data = read("d.tsv", "0\tone\n1\ttwo\n1\tthree\n");
        assertEquals(
                List.of(new Example("one", "0", 1), new Example("two", "1", 2), new Example("three", "1", 3)),
                data.examples());
        assertEquals(List.of("0", "1"), data.labels());
    }

    @Test
    @DisplayName("whose two columns could both be the label must be told which is")
    void tie() throws IOException {
        assertFault("line 1", "either could be the label", "d.tsv", "a\tb\nc\td\n", Columns.UNKNOWN);
        assertEquals(
                "b",
                read("d.tsv", "a\tb\nc\td\n", columns("1", "2"))
                        .examples()
                        .getFirst()
                        .label());
    }

    @Test
    @DisplayName("for evaluation is read by the columns found in the training data")
    void sameColumns() throws IOException {
        Dataset train = read("train.tsv", "0\tone\n1\ttwo\n1\tthree\n");
        Dataset eval = read("eval.tsv", "1\tfour\n0\tfive\n", train.columns());
        assertEquals(
                List.of("1", "0"), eval.examples().stream().map(Example::label).toList());
    }

    @Test
    @DisplayName("may name columns that are not called text and label, or number them")
    void otherColumns() throws IOException {
        String tsv = "mood\tnote\twords\ngood\tx\tone\nbad\ty\ttwo\n";
        Dataset named = read("d.tsv", tsv, columns("words", "mood"));
        assertEquals(List.of(new Example("one", "good", 2), new Example("two", "bad", 3)), named.examples());
        Dataset numbered = read("d.tsv", tsv, new Columns(List.of("3"), Optional.of("1"), Optional.of(true)));
        assertEquals(named.examples(), numbered.examples());
        Dataset headless = read("d.tsv", "good\tx\tone\n", columns("3", "1"));
        assertEquals(List.of(new Example("one", "good", 1)), headless.examples());
    }

    @Test
    @DisplayName("may hold two texts to be read together, in columns of the user's choice or by their usual names")
    void pairs() throws IOException {
        List<Example> expected = List.of(new Example(new Text.Pair("one \"", "two"), "0.5", 1));
        Columns chosen = new Columns(List.of("2", "3"), Optional.of("1"), Optional.of(false));
        assertEquals(
                expected, read("d.tsv", "0.5\tone \"\ttwo\textra\n", chosen).examples(), "no quoting in TSV");
        String line = "{\"sentence2\": \"two\", \"sentence1\": \"one \\\"\", \"label\": 0.5}\n";
        assertEquals(expected, read("d.jsonl", line).examples());
        assertThrows(
                UsageException.class, () -> new Columns(List.of("a", "b", "c"), Optional.empty(), Optional.empty()));
    }

    @Test
    @DisplayName("of CSV has quoted cells with commas, quotes and line breaks inside")
    void csv() throws IOException {
        String csv = "mr,ref\r\n\"a[b], c\",plain\r\nx,\"say \"\"hi\"\",\nand go\"\r\n\"\",\"\"\r\n";
        List<Lines.Row> rows = Lines.rows(Files.writeString(folder.resolve("d.CSV"), csv));
        assertEquals(
                List.of(
                        new Lines.Row(List.of("mr", "ref"), 1),
                        new Lines.Row(List.of("a[b], c", "plain"), 2),
                        new Lines.Row(List.of("x", "say \"hi\",\nand go"), 3),
                        new Lines.Row(List.of("", ""), 5)),
                rows);
        assertFault("line 2", "opens a quote that nothing closes", "d.csv", "label,text\na,\"b\n", Columns.UNKNOWN);
        assertFault("line 2", "text after a closing quote", "d.csv", "label,text\n\"a\"b,c\n", Columns.UNKNOWN);
        assertFault("line 2", "is empty", "d.csv", "label,text\n\na,b\n", Columns.UNKNOWN);
    }

    @Test
    @DisplayName("of JSON lines may hold token ids")
    void tokenIds() throws IOException {
        Example example = read("d.jsonl", "{\"input_ids\": [3, 1], \"label\": \"a\"}\n")
                .examples()
                .getFirst();
        assertEquals("a", example.label());
        assertArrayEquals(new long[] {3, 1}, ((Text.Ids) example.text()).ids());
        assertFault(
                "line 1", "expected integers", "d.jsonl", "{\"input_ids\": [3.5], \"label\": 1}\n", Columns.UNKNOWN);
    }

    @Test
    @DisplayName("may end its lines with CR LF, and its last line with nothing")
    void lineEnds() throws IOException {
        Dataset data = read("d.tsv", "text\tlabel\r\none\tgood\r\ntwo\tbad");
        assertEquals(List.of(new Example("one", "good", 2), new Example("two", "bad", 3)), data.examples());
    }

    @Test
    @DisplayName("of JSON lines gives fields by name; numbers are labels too")
    void json() throws IOException {
        Dataset data =
                read("d.jsonl", "{\"sentence\": \"tab\\there\", \"label\": 10}\n{\"label\": 9, \"text\": \"x\"}\n");
        assertEquals(List.of(new Example("tab\there", "10", 1), new Example("x", "9", 2)), data.examples());
        assertEquals(List.of("9", "10"), data.labels(), "numbers sort as numbers");
    }

    @Nested
    @DisplayName("is refused, with its line,")
    class Refused {
        @Test
        @DisplayName("if a line is empty")
        void emptyLine() throws IOException {
            assertFault("line 2", "is empty", "d.tsv", "good\tone\n\nbad\ttwo\n", Columns.UNKNOWN);
            assertFault("line 3", "is empty", "d.tsv", "good\tone\nbad\ttwo\n \n", Columns.UNKNOWN);
        }

        @Test
        @DisplayName("if a byte is not UTF-8")
        void brokenByte() throws IOException {
            byte[] bytes = "good\tone\nbad\tt?o\n".getBytes(StandardCharsets.UTF_8);
            bytes[14] = (byte) 0xc3;
            Path file = Files.write(folder.resolve("d.tsv"), bytes);
            FormatException thrown = assertThrows(FormatException.class, () -> Dataset.read(file, Columns.UNKNOWN));
            assertTrue(thrown.getMessage().contains("line 2: is not valid UTF-8"), thrown::getMessage);
        }

        @Test
        @DisplayName("if a column is missing in it, or in one line")
        void missingColumn() throws IOException {
            String tsv = "text\tlabel\none\tgood\ntwo\n";
            assertFault("line 3", "has 1 columns, expected at least 2", "d.tsv", tsv, Columns.UNKNOWN);
            assertFault("line 1", "has no column \"mood\"", "d.tsv", tsv, columns("text", "mood"));
            assertFault("line 1", "has no column \"7\"", "d.tsv", tsv, columns("text", "7"));
            assertFault("line 1", "say which with --label-column", "d.tsv", "a\tb\tc\n", Columns.UNKNOWN);
        }

        @Test
        @DisplayName("if a text or label is empty")
        void emptyCell() throws IOException {
            assertFault("line 2", "has an empty label", "d.tsv", "text\tlabel\none\t\n", Columns.UNKNOWN);
            assertFault("line 2", "has an empty text", "d.tsv", "text\tlabel\n\tgood\n", Columns.UNKNOWN);
        }

        @Test
        @DisplayName("if a JSON line is broken or lacks a field")
        void brokenJson() throws IOException {
            assertFault("line 1", "is not valid JSON", "d.jsonl", "{\"text\": \n", Columns.UNKNOWN);
            assertFault("line 1", "has no field \"label\"", "d.jsonl", "{\"text\": \"a\"}\n", Columns.UNKNOWN);
            assertFault("line 1", "has no field \"text\" or \"sentence\"", "d.jsonl", "[1]\n", Columns.UNKNOWN);
        }

        @Test
        @DisplayName("if it holds nothing")
        void nothing() throws IOException {
            assertFault("d.tsv", "holds no examples", "d.tsv", "", Columns.UNKNOWN);
            assertFault("d.tsv", "holds no examples", "d.tsv", "text\tlabel\n", Columns.UNKNOWN);
        }

        @Test
        @DisplayName("if a label is not one of the training data's")
        void unknownLabel() throws IOException {
            Dataset data = read("d.tsv", "text\tlabel\none\tgood\ntwo\tfine\n");
            FormatException thrown = assertThrows(FormatException.class, () -> data.classes(List.of("bad", "good")));
            assertTrue(
                    thrown.getMessage().contains("line 3: has the label \"fine\"")
                            && thrown.getMessage().contains("bad, good"),
                    thrown::getMessage);
        }
    }

    private static Columns columns(String text, String label) {
        return new Columns(List.of(text), Optional.of(label), Optional.empty());
    }

    private Dataset read(String name, String content) throws IOException {
        return read(name, content, Columns.UNKNOWN);
    }

    private Dataset read(String name, String content, Columns columns) throws IOException {
        return Dataset.read(Files.writeString(folder.resolve(name), content), columns);
    }

    private void assertFault(String where, String what, String name, String content, Columns columns)
            throws IOException {
        Path file = Files.writeString(folder.resolve(name), content);
        FormatException thrown = assertThrows(FormatException.class, () -> Dataset.read(file, columns));
        assertTrue(thrown.getMessage().startsWith(file.toString()), thrown::getMessage);
        assertTrue(thrown.getMessage().contains(where) && thrown.getMessage().contains(what), thrown::getMessage);
    }
}
