package dev.adapt.train.metric;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.adapt.train.metric.Entities.Entity;
import java.util.List;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("Entities by the labels of words")
class EntitiesTest {
    @Test
    @DisplayName("as conlleval reads them")
    void reads() {
        assertEquals(
                List.of(
                        new Entity("PER", 0, 2),
                        new Entity("PER", 2, 3),
                        new Entity("LOC", 4, 5),
                        new Entity("ORG", 5, 7)),
                Entities.of(List.of("B-PER", "I-PER", "B-PER", "O", "I-LOC", "I-ORG", "I-ORG")));
        assertEquals(
                List.of(new Entity("LOC", 0, 1), new Entity("LOC", 1, 3)),
                Entities.of(List.of("S-LOC", "B-LOC", "E-LOC")));
        assertEquals(List.of(new Entity("city", 1, 3)), Entities.of(List.of("O", "city", "city")));
        assertEquals(List.of(), Entities.of(List.of("O", "O")));
    }

    @Test
    @DisplayName("counted right only where type, beginning and end are")
    void counts() {
        Entities.Count count = new Entities.Count();
        count.add(List.of("B-PER", "I-PER", "O", "B-LOC"), List.of("B-PER", "O", "O", "B-LOC"));
        assertEquals(0.5, count.f1());
        count.add(List.of("B-LOC", "O"), List.of("O", "O"));
        assertEquals(2.0 / 5, count.f1());
    }
}
