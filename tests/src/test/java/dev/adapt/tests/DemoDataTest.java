package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("The demo's customer requests")
class DemoDataTest {
    /** The share of the words of two texts that is in both, from which one would give the other away. */
    private static final double NEAR_DUPLICATE = 0.75;

    private record Request(String text, String intent) {
        static Request of(String line) {
            String[] columns = line.split("\t", -1);
            assertEquals(2, columns.length, line);
            return new Request(columns[0], columns[1]);
        }
    }

    @Test
    @DisplayName("are spread evenly over eight intents, in both parts")
    void balanced() throws IOException {
        for (String part : List.of("train", "dev")) {
            Map<String, Integer> counts = new HashMap<>();
            read(part).forEach(request -> counts.merge(request.intent(), 1, Integer::sum));
            assertEquals(8, counts.size(), part);
            assertEquals(1, Set.copyOf(counts.values()).size(), part + ": " + counts);
        }
    }

    @Test
    @DisplayName("of the dev set are not those of the training set over again")
    void apart() throws IOException {
        List<Request> train = read("train");
        for (Request request : read("dev")) {
            Set<String> words = words(request.text());
            for (Request other : train) {
                assertTrue(overlap(words, words(other.text())) < NEAR_DUPLICATE, request + " and " + other);
            }
        }
    }

    private static List<Request> read(String part) throws IOException {
        String name = "/dev/adapt/cli/demo/requests-" + part + ".tsv";
        try (InputStream in = Objects.requireNonNull(DemoDataTest.class.getResourceAsStream(name))) {
            String text = new String(in.readAllBytes(), StandardCharsets.UTF_8);
            return text.lines().skip(1).map(Request::of).toList();
        }
    }

    private static Set<String> words(String text) {
        return new HashSet<>(List.of(text.toLowerCase(Locale.ROOT).split("[^a-z0-9']+")));
    }

    private static double overlap(Set<String> left, Set<String> right) {
        Set<String> both = new HashSet<>(left);
        both.retainAll(right);
        return (double) both.size() / (left.size() + right.size() - both.size());
    }
}
