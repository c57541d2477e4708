package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.train.data.Dataset;
import dev.adapt.train.data.LabelledWords;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("Sentences with persons, places, organisations and dates")
class NamesDataTest {
    private static LabelledWords read(String name) throws IOException, URISyntaxException {
        return LabelledWords.read(
                Path.of(Objects.requireNonNull(NamesDataTest.class.getResource("/names/" + name))
                        .toURI()),
                Dataset.Columns.UNKNOWN);
    }

    @Test
    @DisplayName("are 400 and more, with nine labels, and the dev set has names that training has not")
    void whole() throws IOException, URISyntaxException {
        LabelledWords train = read("train.tsv");
        LabelledWords dev = read("dev.tsv");
        assertTrue(train.sentences().size() >= 400);
        List<String> labels = List.of("B-DATE", "B-LOC", "B-ORG", "B-PER", "I-DATE", "I-LOC", "I-ORG", "I-PER", "O");
        assertEquals(labels, train.labels());
        assertEquals(labels, dev.labels());
        Set<String> persons = new HashSet<>();
        train.sentences().forEach(own -> persons.addAll(persons(own)));
        dev.sentences()
                .forEach(own ->
                        persons(own).forEach(name -> assertTrue(!persons.contains(name), name + " is in both sets")));
    }

    private static Set<String> persons(LabelledWords.Sentence sentence) {
        Set<String> persons = new HashSet<>();
        for (int i = 0; i < sentence.words().size(); i++) {
            if (sentence.labels().get(i).endsWith("-PER")) {
                persons.add(sentence.words().get(i));
            }
        }
        return persons;
    }
}
