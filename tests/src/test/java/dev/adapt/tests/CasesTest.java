package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Merges every reference case and compares the result with what PEFT made. A line of
 * {@code cases.tsv} says where a refusal is right; all others must merge, but for cases of methods, which may be refused:
 * {@link MethodCasesTest} says which.
 */
@DisplayName("Merging the reference cases")
class CasesTest {
    private static final List<String> GROUPS = List.of("arch", "layout", "methods", "quant", "reports", "lora");

    @TempDir
    private Path folder;

    /** What a case must do. */
    private record Expected(String outcome, List<String> words) {}

    @Test
    void allCases() throws IOException {
        Map<String, Expected> expectations = expectations();
        Map<String, Integer> totals = new LinkedHashMap<>();
        List<String> failures = new ArrayList<>();
        for (String group : GROUPS) {
            for (String name : StoredCases.names(group)) {
                Path each = StoredCases.at(name, folder);
                if (!MergedCase.isOne(each)) {
                    continue;
                }
                Expected expected = expectations.getOrDefault(name, usual(group));
                if (expected.outcome().equals("elsewhere")) {
                    continue;
                }
                MergedCase merged = MergedCase.run(each, folder.resolve("merged-" + name.replace('/', '-')));
                String verdict = verdict(expected, merged);
                System.out.printf("%-50s %-8s %s%n", name, verdict, merged.sentence());
                totals.merge(group + " " + verdict, 1, Integer::sum);
                if (verdict.equals("FAILS") || verdict.equals("WRONG")) {
                    failures.add(name + " (expected: " + expected + "): " + merged.sentence());
                }
            }
        }
        System.out.println(totals);
        assertEquals(List.of(), failures, String.join("\n", failures));
    }

    private static Expected usual(String group) {
        return new Expected(group.equals("methods") ? "waits" : "merges", List.of());
    }

    private static String verdict(Expected expected, MergedCase merged) {
        boolean worded = expected.words().stream().allMatch(merged.said()::contains);
        return switch (expected.outcome()) {
            case "merges" -> merged.isRight() && worded ? "merges" : "FAILS";
            case "refuses" -> merged.isRefused() && worded ? "refuses" : "FAILS";
            case "waits" -> merged.isRight() ? "merges" : merged.isRefused() ? "waits" : "WRONG";
            case String other -> throw new IllegalArgumentException(other);
        };
    }

    private static Map<String, Expected> expectations() throws IOException {
        Map<String, Expected> expectations = new LinkedHashMap<>();
        try (InputStream resource = CasesTest.class.getResourceAsStream("cases.tsv")) {
            String text = new String(Objects.requireNonNull(resource).readAllBytes(), StandardCharsets.UTF_8);
            text.lines().filter(line -> !line.startsWith("#")).forEach(line -> {
                String[] cells = line.split("\t", -1);
                List<String> words = Stream.of(cells[2].split("\\|"))
                        .filter(word -> !word.isEmpty())
                        .toList();
                expectations.put(cells[0], new Expected(cells[1], words));
            });
        }
        return expectations;
    }
}
