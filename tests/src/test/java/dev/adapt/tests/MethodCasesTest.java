package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.merge.Merger;
import dev.adapt.merge.convert.Conversion;
import dev.adapt.merge.convert.SharedMatrices;
import dev.adapt.merge.lowrank.Cut;
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
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What PEFT's {@code merge_and_unload} made of a small adapter of each method, among the reference cases.
 * {@code method-cases.txt} has a row for each case: its name, and the tolerance its merge is held to, or part of the sentence
 * that refuses it. A tolerance "of the largest" is relative to the largest element of a tensor: PEFT sums in float32, which
 * shows where elements are large.
 */
@DisplayName("Every method's merge is PEFT's")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class MethodCasesTest {
    @TempDir
    private Path folder;

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
    void printHeader() {
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
        // PEFT's own merge of this one is wrong: CasesTest compares the logits
        Set<String> found = StoredCases.names("methods").stream()
                .map(name -> name.substring(name.indexOf('/') + 1))
                .filter(name -> !name.equals("lora_embed_tied_ensure"))
                .collect(Collectors.toSet());
        assertEquals(found, rows().stream().map(Row::name).collect(Collectors.toSet()));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("rows")
    void merge(Row row) throws IOException {
        Path stored = StoredCases.at("methods/" + row.name(), folder.resolve("cases"));
        Path out = folder.resolve(row.name());
        try {
            merge(stored, out);
        } catch (FormatException | FileSystemException refusal) {
            String sentence = sentence(refusal);
            System.out.printf("%-40s %12s  %s%n", row.name(), "refused", sentence);
            assertFalse(Files.exists(out));
            assertTrue(!row.merges() && sentence.contains(row.expected()), sentence);
            return;
        }
        Difference difference = difference(out, stored, row.isRelative());
        System.out.printf("%-40s %12.2g  %s%n", row.name(), difference.largest(), difference.tensor());
        assertTrue(row.merges(), "is merged, expected: " + row.expected());
        assertTrue(difference.largest() <= row.tolerance(), difference::toString);
    }

    /** The largest difference of any element; infinite where a tensor is missing. */
    private record Difference(double largest, String tensor) {
        Difference or(double other, String name) {
            return other > largest || Double.isNaN(other) ? new Difference(other, name) : this;
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
        return List.of("vera", "pvera", "randlora", "tinylora");
    }

    /** An adapter and its base. */
    private record Seeded(Path adapter, Path base) {}

    private Seeded seeded(String name) throws IOException {
        if (name.equals("vera")) {
            Path own = StoredCases.at("fixtures/bert", folder.resolve("cases"));
            return new Seeded(own.resolve("vera_saved"), own.resolve("base"));
        }
        Path own = StoredCases.at("methods/" + name, folder.resolve("cases"));
        return new Seeded(own.resolve("adapter"), own.resolve("base"));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("methodsWithSeeds")
    @DisplayName("what the seed draws is what PEFT stored, bit for bit")
    void regenerated(String name) throws IOException {
        Seeded own = seeded(name);
        Path small = folder.resolve(name + "-small");
        Path whole = folder.resolve(name + "-whole");
        convert(own, SharedMatrices.LEFT_OUT, small);
        convert(new Seeded(small, own.base()), SharedMatrices.SAVED, whole);
        printBytes(name, own.adapter(), small);
        assertTrue(size(small) < size(own.adapter()));
        try (SafetensorsFile stored = SafetensorsFile.open(own.adapter().resolve(Adapter.FILE));
                SafetensorsFile drawn = SafetensorsFile.open(whole.resolve(Adapter.FILE))) {
            assertEquals(names(stored), names(drawn));
            for (TensorView tensor : drawn.tensors()) {
                assertEquals(stored.tensor(tensor.name()).sha256(), tensor.sha256(), tensor.name());
            }
            assertTrue(drawn.metadata().keySet().stream().anyMatch(key -> key.startsWith(Adapter.PART_SHA256)));
        }
        assertEquals(-1, mismatch(name, own, new Seeded(small, own.base())));
    }

    /** Without the copies of RandLoRA's shared matrices that PEFT stores once more for each layer. */
    private static Set<String> names(SafetensorsFile file) {
        return file.tensors().stream()
                .map(TensorView::name)
                .filter(name -> !name.matches("base_model\\.model\\..*\\.randlora_[AB]"))
                .collect(Collectors.toSet());
    }

    @ParameterizedTest(name = "{0}")
    @ValueSource(strings = {"fourierft", "waveft"})
    @DisplayName("PEFT stores nothing of these that a seed draws")
    void smallest(String name) throws IOException {
        Seeded own = seeded(name);
        Path small = folder.resolve(name + "-small");
        convert(own, SharedMatrices.LEFT_OUT, small);
        printBytes(name, own.adapter(), small);
        assertEquals(-1, mismatch(name, own, new Seeded(small, own.base())));
    }

    @Test
    @DisplayName("VB-LoRA without the logits of vectors that are not used merges to the same, but for rounding")
    void topOfLogits() throws IOException {
        Seeded own = seeded("vblora");
        Path small = folder.resolve("vblora-small");
        convert(own, SharedMatrices.LEFT_OUT, small);
        printBytes("vblora", own.adapter(), small);
        assertTrue(size(small) < size(own.adapter()));
        Path out = folder.resolve("vblora-top");
        merge(small, own.base(), out);
        Path stored = StoredCases.at("methods/vblora", folder.resolve("cases"));
        Difference difference = difference(out, stored, false);
        assertTrue(difference.largest() <= 1e-6, difference::toString);
        // once more there is nothing left to leave out
        Path again = folder.resolve("vblora-again");
        convert(new Seeded(small, own.base()), SharedMatrices.LEFT_OUT, again);
        assertEquals(-1, Files.mismatch(small.resolve(Adapter.FILE), again.resolve(Adapter.FILE)));
    }

    private static void printBytes(String name, Path adapter, Path small) throws IOException {
        System.out.printf("%-40s %12d  bytes, without what a seed draws %d%n", name, size(adapter), size(small));
    }

    private static void convert(Seeded adapter, SharedMatrices form, Path out) throws IOException {
        try (Checkpoint base = Checkpoint.open(adapter.base())) {
            projection(form).convert(adapter.adapter(), Optional.of(base), false, out);
        }
    }

    /** Where the merges of two adapters differ; -1 where they do not. */
    private long mismatch(String name, Seeded first, Seeded second) throws IOException {
        Path merged = folder.resolve(name + "-merged");
        Path again = folder.resolve(name + "-again");
        merge(first.adapter(), first.base(), merged);
        merge(second.adapter(), second.base(), again);
        return Files.mismatch(merged.resolve(Checkpoint.SINGLE), again.resolve(Checkpoint.SINGLE));
    }

    @ParameterizedTest(name = "{0}")
    @ValueSource(
            strings = {
                "adalora", "adamss", "boft", "c3a", "deft", "delora", "fourierft", "frod", "glora", "gralora", "hira",
                        "hra",
                "ia3", "loha", "lokr", "lora_bdlora", "lora_kasa", "miss", "oft", "osf", "peanut", "pvera", "randlora",
                        "road",
                "shira", "tinylora", "unilora", "vblora", "waveft"
            })
    @DisplayName(
            "every method on linear layers is some LoRA: at full rank the merge is the same, padded to a server's rank too")
    void asLora(String name) throws IOException {
        Seeded own = seeded(name);
        Path lora = folder.resolve(name + "-lora");
        Conversion whole = new Conversion(
                Conversion.Form.LORA,
                Optional.of(new Cut.Energy(1)),
                Optional.empty(),
                SharedMatrices.AS_THEY_ARE,
                Optional.empty(),
                Optional.empty(),
                Optional.of(64));
        try (Checkpoint base = Checkpoint.open(own.base())) {
            Conversion.Result result = whole.convert(own.adapter(), Optional.of(base), false, lora);
            assertTrue(result.relativeError() <= 1e-6, () -> "error " + result.relativeError());
        }
        assertEquals(64, Adapter.read(lora).config().rank());
        Path out = folder.resolve(name + "-lora-merged");
        merge(lora, own.base(), out);
        Difference difference = difference(out, StoredCases.at("methods/" + name, folder.resolve("cases")), true);
        assertTrue(difference.largest() <= 2e-5, difference::toString);
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
