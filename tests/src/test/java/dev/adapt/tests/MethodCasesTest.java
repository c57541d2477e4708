package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.adapter.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.model.Binding;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.merge.Merger;
import dev.adapt.merge.lowrank.Conversion;
import dev.adapt.merge.lowrank.SharedMatrices;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * What PEFT's {@code merge_and_unload} made of a small adapter of each method, in the folder {@code methods} of the one that
 * {@code ADAPT_CASES} names. {@code method-cases.txt} has a row for each case: its name, and the tolerance its merge is held
 * to, or part of the sentence that refuses it, or "differs" for what is known to be merged wrongly. A tolerance "of the largest" is relative to the largest element of a tensor:
 * PEFT sums in float32, which shows where elements are large.
 */
@DisplayName("Every method's merge is PEFT's")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class MethodCasesTest {
    @TempDir
    private Path folder;

    private Path cases;

    /** A row of the table. */
    record Row(String name, String expected) {
        boolean merges() {
            return Character.isDigit(expected.charAt(0));
        }

        boolean isRelative() {
            return expected.endsWith(" of the largest");
        }

        double tolerance() {
            return Double.parseDouble(expected.replace(" of the largest", ""));
        }
    }

    @BeforeAll
    void findCases() {
        String named = System.getenv("ADAPT_CASES");
        assumeTrue(named != null, "ADAPT_CASES does not name the folder of cases");
        cases = Path.of(named).resolve("methods");
        System.out.printf("%-40s %12s  %s%n", "case", "difference", "tensor, or why it is refused");
    }

    static List<Row> rows() throws IOException {
        try (InputStream table = MethodCasesTest.class.getResourceAsStream("/method-cases.txt")) {
            return new String(Objects.requireNonNull(table).readAllBytes(), StandardCharsets.UTF_8)
                    .lines()
                    .map(String::strip)
                    .filter(line -> !line.isEmpty() && !line.startsWith("#"))
                    .map(line -> line.split("\\s+", 2))
                    .map(parts -> new Row(parts[0], parts[1]))
                    .toList();
        }
    }

    @Test
    void everyCaseIsInTheTable() throws IOException {
        try (Stream<Path> folders = Files.list(cases)) {
            Set<String> found =
                    folders.map(path -> path.getFileName().toString()).collect(Collectors.toSet());
            assertEquals(found, rows().stream().map(Row::name).collect(Collectors.toSet()));
        }
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("rows")
    void merge(Row row) throws IOException {
        Path out = folder.resolve(row.name());
        try {
            merge(cases.resolve(row.name()), out);
        } catch (FormatException | FileSystemException refusal) {
            String sentence = sentence(refusal);
            System.out.printf("%-40s %12s  %s%n", row.name(), "refused", sentence);
            assertFalse(Files.exists(out));
            assertTrue(!row.merges() && sentence.contains(row.expected()), sentence);
            return;
        }
        Difference difference = difference(out, cases.resolve(row.name()), row.isRelative());
        System.out.printf("%-40s %12.2g  %s%n", row.name(), difference.largest(), difference.tensor());
        if (row.expected().equals("differs")) {
            assertTrue(difference.largest() > 1e-6, "is PEFT's now: give the row its tolerance");
            return;
        }
        assertTrue(row.merges(), "is merged, expected: " + row.expected());
        assertTrue(difference.largest() <= row.tolerance(), difference::toString);
    }

    /** The largest difference of any element; infinite where a tensor is missing. */
    private record Difference(double largest, String tensor) {
        Difference or(double other, String name) {
            return other > largest ? new Difference(other, name) : this;
        }
    }

    /**
     * How far a merge is from PEFT's. That may name a tensor with a prefix that the base does not have, and may leave out
     * tensors that are the base's.
     */
    private static Difference difference(Path out, Path directory, boolean relative) throws IOException {
        Difference largest = new Difference(0, "");
        try (Checkpoint merged = Checkpoint.open(out);
                Checkpoint expected = Checkpoint.open(directory.resolve("merged"));
                Checkpoint base = Checkpoint.open(directory.resolve("base"))) {
            Set<String> rest = new TreeSet<>(merged.tensors().keySet());
            for (TensorView tensor : expected.tensors().values()) {
                String name = rest.stream()
                        .filter(own -> ("." + tensor.name()).endsWith("." + own))
                        .findFirst()
                        .orElse("");
                rest.remove(name);
                largest = largest.or(between(merged.tensors().get(name), tensor, relative), tensor.name());
            }
            for (String name : rest) {
                TensorView kept = base.tensors().get(name);
                largest = largest.or(
                        kept == null
                                ? Double.POSITIVE_INFINITY
                                : between(merged.tensors().get(name), kept, relative),
                        name);
            }
        }
        return largest;
    }

    private static double between(@Nullable TensorView left, TensorView right, boolean relative) {
        if (left == null || !left.shape().equals(right.shape()) || left.dtype() != right.dtype()) {
            return Double.POSITIVE_INFINITY;
        }
        float[] a = left.toFloats();
        float[] b = right.toFloats();
        double largest = 0;
        double scale = 0;
        for (int i = 0; i < a.length; i++) {
            largest = Math.max(largest, Math.abs((double) a[i] - b[i]));
            scale = Math.max(scale, Math.abs(b[i]));
        }
        return relative && largest > 0 ? largest / scale : largest;
    }

    static List<String> methodsWithSeeds() {
        return List.of("pvera", "randlora", "tinylora");
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("methodsWithSeeds")
    @DisplayName("what the seed draws is what PEFT stored, bit for bit")
    void regenerated(String name) throws IOException {
        Path adapter = cases.resolve(name).resolve("adapter");
        Path small = folder.resolve(name + "-small");
        Path whole = folder.resolve(name + "-whole");
        try (Checkpoint base = Checkpoint.open(cases.resolve(name).resolve("base"))) {
            projection(SharedMatrices.LEFT_OUT).convert(adapter, Optional.of(base), false, small);
            projection(SharedMatrices.SAVED).convert(small, Optional.of(base), false, whole);
        }
        System.out.printf("%-40s %12d  bytes, without what the seed draws %d%n", name, size(adapter), size(small));
        assertTrue(size(small) < size(adapter));
        try (SafetensorsFile stored = SafetensorsFile.open(adapter.resolve(Adapter.FILE));
                SafetensorsFile drawn = SafetensorsFile.open(whole.resolve(Adapter.FILE))) {
            for (TensorView tensor : drawn.tensors()) {
                assertEquals(stored.tensor(tensor.name()).sha256(), tensor.sha256(), tensor.name());
            }
        }
        Path merged = folder.resolve(name + "-merged");
        Path again = folder.resolve(name + "-again");
        merge(adapter, cases.resolve(name).resolve("base"), merged);
        merge(small, cases.resolve(name).resolve("base"), again);
        assertEquals(-1, Files.mismatch(merged.resolve(Checkpoint.SINGLE), again.resolve(Checkpoint.SINGLE)));
    }

    private static Conversion projection(SharedMatrices projection) {
        return new Conversion(Conversion.Form.SAME, Optional.empty(), Optional.empty(), projection, Optional.empty());
    }

    private static long size(Path adapter) throws IOException {
        return Files.size(adapter.resolve(Adapter.FILE));
    }

    private static String sentence(Exception thrown) {
        return String.valueOf(thrown.getMessage()).replaceAll("\\S*/(?=adapter)", "");
    }

    private static void merge(Path directory, Path out) throws IOException {
        merge(directory.resolve("adapter"), directory.resolve("base"), out);
    }

    private static void merge(Path folder, Path model, Path out) throws IOException {
        Adapter adapter = Adapter.read(folder);
        try (Checkpoint base = Checkpoint.open(model)) {
            BoundAdapter bound = new Binding(base).bind(adapter, false);
            new Merger(base, bound, 1).merge(out);
        }
    }
}
