package dev.adapt.merge;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.IntNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.TextNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.adapter.Methods;
import dev.adapt.formats.algebra.OutGain;
import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.algebra.Region;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.PatchJournal;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.lowrank.CondLora;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.method.random.Rounding;
import dev.adapt.formats.method.seeded.Vera;
import dev.adapt.formats.method.transform.Boft;
import dev.adapt.formats.method.transform.Hra;
import dev.adapt.formats.method.transform.Miss;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsHeader;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorSpec;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.merge.engine.Statistics;
import dev.adapt.merge.kernel.Floats;
import dev.adapt.merge.kernel.Kernels;
import dev.adapt.merge.kernel.ScalarKernels;
import dev.adapt.merge.kernel.VectorKernels;
import dev.adapt.merge.plan.MergePlan;
import dev.adapt.merge.undo.UndoSize;
import dev.adapt.merge.undo.Unmerger;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Random;
import java.util.concurrent.atomic.LongAdder;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

@DisplayName("A merge")
class MergerTest {
    private static final List<String> MODULES = List.of("model.q", "model.v");
    private static final int OUT = 150;
    private static final int IN = 900;

    @TempDir
    private Path folder;

    static Stream<AdapterMethod> methods() {
        return Stream.of(
                new Lora(5, 10, 0),
                new Lora(7, 3, true, false, 0, Map.of(), Map.of()),
                new Lora(6, 4, false, true, 0, Map.of(), Map.of()),
                new Vera(33, 0.1, 11, 0, false, Rounding.FMA),
                new CondLora(5, 5, 0),
                sample("loha", "r", IntNode.valueOf(5)),
                sample(
                        "ia3",
                        "feedforward_modules",
                        JsonNodeFactory.instance.arrayNode().add("q")),
                sample("oft", "oft_block_size", IntNode.valueOf(8)),
                sample("lokr", "r", IntNode.valueOf(5)),
                sample("c3a", "block_size", IntNode.valueOf(50)),
                sample("hira", "r", IntNode.valueOf(5)),
                sample("glora", "r", IntNode.valueOf(5)),
                sample("delora", "r", IntNode.valueOf(5)),
                sample("deft", "r", IntNode.valueOf(5)),
                sample("peanut", "r", IntNode.valueOf(5)),
                sample("fourierft", "n_frequency", IntNode.valueOf(40)),
                sample("waveft", "wavelet_family", TextNode.valueOf("db3")),
                sample("shira", "r", IntNode.valueOf(3)),
                new Boft(30, 0, 1),
                sample("hra", "r", IntNode.valueOf(4)),
                new Hra(3, true),
                sample("miss", "r", IntNode.valueOf(7)),
                new Miss(7, Miss.Variant.MINI, 10, 0),
                new Miss(30, Miss.Variant.BAT, 1, 0),
                sample("road", "group_size", IntNode.valueOf(50)),
                sample("gralora", "gralora_k", IntNode.valueOf(2)),
                sample("vblora", "vector_length", IntNode.valueOf(50)));
    }

    private static AdapterMethod sample(String name, String field, JsonNode value) {
        return Methods.named(name).orElseThrow().fresh(Path.of("settings"), Map.of(field, value));
    }

    static Stream<Arguments> everyCase() {
        return methods()
                .flatMap(method -> Stream.of(Dtype.F64, Dtype.F32, Dtype.F16, Dtype.BF16)
                        .flatMap(dtype ->
                                Stream.of(false, true).map(transposed -> Arguments.of(method, dtype, transposed))));
    }

    @ParameterizedTest(name = "{0} into {1}, transposed: {2}")
    @MethodSource("everyCase")
    @DisplayName("adds the update of float64, rounded to the base's dtype, and leaves the rest byte for byte")
    void addsTheUpdate(AdapterMethod method, Dtype dtype, boolean transposed) throws IOException {
        Path base = base("base.safetensors", dtype, 1);
        Path adapter = adapter(method, base, Map.of(), transposed);
        Path out = folder.resolve("merged.safetensors");
        merge(adapter, base, out, 2, Kernels.best());
        try (Checkpoint before = Checkpoint.open(base);
                Checkpoint after = Checkpoint.open(out)) {
            assertEquals(
                    List.copyOf(before.tensors().keySet()),
                    List.copyOf(after.tensors().keySet()));
            Map<String, double[]> adapted = adapted(adapter, before);
            for (TensorView tensor : before.tensors().values()) {
                TensorView merged = after.tensors().get(tensor.name());
                double[] exact = adapted.get(tensor.name());
                assertEquals(tensor.info().dtype(), merged.info().dtype());
                if (exact == null) {
                    assertEquals(-1, tensor.data().mismatch(merged.data()), tensor.name());
                } else {
                    assertRounded(tensor.toFloats(), exact, merged.toFloats(), dtype);
                }
            }
            assertEquals(
                    before.files().getFirst().metadata(),
                    after.files().getFirst().metadata());
        }
    }

    private static void assertRounded(float[] weight, double[] exact, float[] merged, Dtype dtype) {
        int changed = 0;
        for (int i = 0; i < weight.length; i++) {
            double halfUnit = switch (dtype) {
                case BF16 -> Math.scalb(1.0, Math.max(Math.getExponent(exact[i]), -126) - 8);
                case F16 -> Math.scalb(1.0, Math.max(Math.getExponent(exact[i]), -14) - 11);
                default -> 0;
            };
            // float32 sums of up to 33 products near 0.1 err by far less than this before the one rounding
            assertEquals(exact[i], merged[i], halfUnit + 2e-6, "element " + i);
            boolean differs = merged[i] != weight[i];
            changed += differs ? 1 : 0;
            assertTrue(differs || Math.abs(exact[i] - weight[i]) <= 2 * halfUnit + 4e-6, "no update of element " + i);
        }
        assertTrue(changed > 0, "the update is not there");
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("methods")
    @DisplayName("gives the same bytes with 1, 2 and 7 threads, with vectors and without")
    void isRepeatable(AdapterMethod method) throws IOException {
        Path base = base("base.safetensors", Dtype.BF16, 2);
        Path adapter = adapter(method, base);
        byte[] first = null;
        for (Kernels kernels : List.of(new VectorKernels(), new ScalarKernels())) {
            for (int threads : new int[] {1, 2, 7}) {
                Path out = folder.resolve("merged.safetensors");
                merge(adapter, base, out, threads, kernels);
                byte[] bytes = Files.readAllBytes(out);
                first = first == null ? bytes : first;
                assertArrayEquals(first, bytes);
            }
        }
    }

    @Test
    @DisplayName("gives bf16 that is the float64 sum rounded once, but for one element in 10,000")
    void roundsOnce() throws IOException {
        Path base = base("base.safetensors", Dtype.BF16, 13);
        Path adapter = adapter(new Lora(16, 24, 0), base);
        Path out = folder.resolve("merged.safetensors");
        merge(adapter, base, out, 2, Kernels.best());
        long elements = 0;
        long others = 0;
        try (Checkpoint before = Checkpoint.open(base);
                Checkpoint after = Checkpoint.open(out)) {
            for (Map.Entry<String, double[]> entry : adapted(adapter, before).entrySet()) {
                float[] merged = after.tensors().get(entry.getKey()).toFloats();
                for (int i = 0; i < merged.length; i++) {
                    others += merged[i] == nearestBfloat16(entry.getValue()[i]) ? 0 : 1;
                }
                elements += merged.length;
            }
        }
        System.out.printf(
                "%d of %d bf16 elements are not the float64 sum rounded once: the float32 sum was rounded twice%n",
                others, elements);
        assertTrue(elements >= 2L * OUT * IN);
        assertTrue(others * 10_000 <= elements, others + " of " + elements);
    }

    /** Rounded to nearest even from the double itself: its float32 and that one's neighbours are never asked. */
    private static float nearestBfloat16(double value) {
        double unit = Math.scalb(1.0, Math.max(Math.getExponent(value), Float.MIN_EXPONENT) - 7);
        return (float) (Math.rint(value / unit) * unit);
    }

    @Test
    @DisplayName("in place changes the weights it adapts and not a byte else, as a merge to a new file does")
    void changesInPlace() throws IOException {
        Path base = base("base.safetensors", Dtype.BF16, 14);
        Path adapter = adapter(new Lora(4, 6, 0), base);
        Path out = folder.resolve("merged.safetensors");
        merge(adapter, base, out, 2, Kernels.best());
        try (PatchJournal journal = PatchJournal.begin(base);
                Checkpoint opened = Checkpoint.open(journal)) {
            Merger merger = new Merger(opened, List.of(bound(opened, adapter, 1)), settings(Kernels.best(), 2));
            assertEquals(2L * OUT * IN * Short.BYTES, merger.bytesInPlace());
            merger.mergeInPlace(journal);
        }
        assertArrayEquals(Files.readAllBytes(out), Files.readAllBytes(base));
        assertFalse(Files.exists(folder.resolve(PatchJournal.FILE)));
    }

    @Test
    @DisplayName("in place is refused where a tensor would be new, and changes nothing")
    void refusesToAddInPlace() throws IOException {
        Path base = base("base.safetensors", Dtype.BF16, 15);
        byte[] before = Files.readAllBytes(base);
        Path adapter = adapter(
                new Lora(4, 4, 0), base, Map.of("head.weight", new FloatTensor(Shape.of(1, 2), new float[] {1, 2})));
        saving(adapter, "head");
        try (PatchJournal journal = PatchJournal.begin(base);
                Checkpoint opened = Checkpoint.open(journal)) {
            Merger merger = new Merger(opened, List.of(bound(opened, adapter, 1)), settings(Kernels.best(), 2));
            UsageException thrown = assertThrows(UsageException.class, () -> merger.mergeInPlace(journal));
            assertTrue(thrown.getMessage().contains("head.weight"), thrown::getMessage);
        }
        assertArrayEquals(before, Files.readAllBytes(base));
    }

    @Test
    @DisplayName("keeps shards, their index and the small files of a folder")
    void keepsShards() throws IOException {
        Path base = Files.createDirectories(folder.resolve("base"));
        base("base/model-00001-of-00002.safetensors", Dtype.F16, 3, "model.q.weight", "model.other.bias");
        base("base/model-00002-of-00002.safetensors", Dtype.F16, 3, "model.v.weight", "norm", "steps");
        Files.writeString(base.resolve(Checkpoint.INDEX), """
                {"metadata": {"total_size": 1, "note": "kept"}, "weight_map": {
                 "model.q.weight": "model-00001-of-00002.safetensors", "model.other.bias": "model-00001-of-00002.safetensors",
                 "model.v.weight": "model-00002-of-00002.safetensors", "norm": "model-00002-of-00002.safetensors",
                 "steps": "model-00002-of-00002.safetensors"}}
                """);
        Files.writeString(base.resolve("tokenizer.json"), "{}");
        Path whole = base("whole.safetensors", Dtype.F16, 3);
        Path adapter = adapter(new Lora(4, 4, 0), base);
        Path out = folder.resolve("merged");
        Path wholeOut = folder.resolve("whole-merged.safetensors");
        merge(adapter, base, out, 2, Kernels.best());
        merge(adapter, whole, wholeOut, 2, Kernels.best());
        try (Checkpoint sharded = Checkpoint.open(out);
                Checkpoint single = Checkpoint.open(wholeOut)) {
            assertEquals(2, sharded.files().size());
            single.tensors()
                    .forEach((name, tensor) -> assertEquals(
                            -1,
                            tensor.data().mismatch(sharded.tensors().get(name).data()),
                            name));
        }
        String index = Files.readString(out.resolve(Checkpoint.INDEX));
        assertTrue(index.contains("\"note\" : \"kept\""), index);
        assertEquals("{}", Files.readString(out.resolve("tokenizer.json")));
    }

    @Test
    @DisplayName("writes the tensors an adapter holds whole, in place of the base's or as new ones")
    void writesSavedTensors() throws IOException {
        Path base = base("base.safetensors", Dtype.BF16, 4);
        FloatTensor head = new FloatTensor(Shape.of(1, 2), new float[] {0.1f, 0.2f});
        FloatTensor bias = new FloatTensor(Shape.of(2), new float[] {1, -0.125f});
        Path adapter = adapter(new Lora(4, 4, 0), base, Map.of("model.other.bias", bias, "head.weight", head));
        saving(adapter, "q", "head");
        Path out = folder.resolve("merged.safetensors");
        merge(adapter, base, out, 1, Kernels.best());
        try (Checkpoint merged = Checkpoint.open(out)) {
            TensorView replaced = merged.tensors().get("model.other.bias");
            assertEquals(Dtype.BF16, replaced.dtype());
            assertArrayEquals(bias.values(), replaced.toFloats());
            assertEquals(Dtype.F32, merged.tensors().get("head.weight").dtype());
            assertArrayEquals(head.values(), merged.tensors().get("head.weight").toFloats());
        }
    }

    private static void saving(Path adapter, String... modules) throws IOException {
        Path config = adapter.resolve("adapter_config.json");
        String list = "[\"" + String.join("\", \"", modules) + "\"]";
        Files.writeString(
                config,
                Files.readString(config).replaceFirst("\"modules_to_save\" : null", "\"modules_to_save\" : " + list));
    }

    @Test
    @DisplayName("refuses another base than the adapter's, unless forced, and writes nothing")
    void refusesAnotherBase() throws IOException {
        Path base = base("base.safetensors", Dtype.F32, 5);
        Path other = base("other.safetensors", Dtype.F32, 6);
        Path adapter = adapter(new Lora(4, 4, 0), base);
        Path out = folder.resolve("merged.safetensors");
        FormatException thrown =
                assertThrows(FormatException.class, () -> merge(adapter, other, out, 1, Kernels.best()));
        assertTrue(thrown.getMessage().contains("was trained on another base"), thrown::getMessage);
        assertFalse(Files.exists(out));
        try (Checkpoint opened = Checkpoint.open(other)) {
            new Merger(opened, new Binding(opened).bind(Adapter.read(adapter), true), 1).merge(out);
        }
        assertTrue(Files.exists(out));
    }

    @Test
    @DisplayName("refuses a base whose weights are not floats it can write")
    void refusesIntegers() throws IOException {
        Path base = base("base.safetensors", Dtype.I16, 7);
        Path adapter = adapter(new Lora(4, 4, 0), base);
        FormatException thrown = assertThrows(
                FormatException.class,
                () -> merge(adapter, base, folder.resolve("merged.safetensors"), 1, Kernels.best()));
        assertTrue(thrown.getMessage().contains("model.q.weight: holds I16, expected"), thrown::getMessage);
    }

    @Test
    @DisplayName("never writes over its base or into it, and leaves no temporary file when it fails")
    void neverWritesOverItsBase() throws IOException {
        Path base = base("base.safetensors", Dtype.F32, 8);
        Path adapter = adapter(new Lora(4, 4, 0), base);
        byte[] before = Files.readAllBytes(base);
        assertThrows(UsageException.class, () -> merge(adapter, base, base, 1, Kernels.best()));
        assertArrayEquals(before, Files.readAllBytes(base));
        Files.createDirectories(folder.resolve("full"));
        Files.writeString(folder.resolve("full/file"), "");
        assertThrows(IOException.class, () -> merge(adapter, base, folder.resolve("full"), 1, Kernels.best()));
        try (Stream<Path> left = Files.walk(folder)) {
            assertTrue(left.noneMatch(path -> path.toString().endsWith(".tmp")));
        }
    }

    @ParameterizedTest(name = "{0} from {1}")
    @MethodSource("undoCases")
    @DisplayName("is undone bit for bit")
    void isUndone(AdapterMethod method, Dtype dtype) throws IOException {
        Path base = base("base.safetensors", dtype, 11);
        FloatTensor head = new FloatTensor(Shape.of(1, 2), new float[] {0.1f, 0.2f});
        Path adapter = adapter(method, base, Map.of("head.weight", head));
        saving(adapter, "head");
        Path out = folder.resolve("merged.safetensors");
        Path undo = folder.resolve("merged.undo");
        try (Checkpoint opened = Checkpoint.open(base)) {
            UndoSize size = new Merger(
                            opened,
                            List.of(bound(opened, adapter, 1)),
                            settings(Kernels.best(), 2).undo(undo))
                    .merge(out)
                    .orElseThrow();
            assertEquals(Files.size(undo), size.file());
            long weights = 2L * OUT * IN * Floats.of(dtype).bytes();
            assertEquals(weights, size.tensors());
            assertTrue(size.file() < weights, "the undo file of " + size.file() + " bytes is not smaller");
        }
        Path back = folder.resolve("back.safetensors");
        unmerge(out, undo, back);
        assertArrayEquals(Files.readAllBytes(base), Files.readAllBytes(back));
    }

    static Stream<Arguments> undoCases() {
        return methods()
                .flatMap(method ->
                        Stream.of(Dtype.F32, Dtype.F16, Dtype.BF16).map(dtype -> Arguments.of(method, dtype)));
    }

    @Test
    @DisplayName("is undone only from what it left, and only with a whole undo file")
    void undoIsChecked() throws IOException {
        Path base = base("base.safetensors", Dtype.BF16, 12);
        Path adapter = adapter(new Lora(4, 4, 0), base);
        Path out = folder.resolve("merged.safetensors");
        Path undo = folder.resolve("merged.undo");
        try (Checkpoint opened = Checkpoint.open(base)) {
            new Merger(
                            opened,
                            List.of(bound(opened, adapter, 1)),
                            settings(Kernels.best(), 2).undo(undo))
                    .merge(out);
        }
        Path back = folder.resolve("back.safetensors");
        FormatException other = assertThrows(FormatException.class, () -> unmerge(base, undo, back));
        assertTrue(other.getMessage().contains("its SHA-256 differs"), other::getMessage);
        byte[] bytes = Files.readAllBytes(undo);
        Files.write(undo, Arrays.copyOf(bytes, bytes.length - 1));
        FormatException cut = assertThrows(FormatException.class, () -> unmerge(out, undo, back));
        assertTrue(cut.getMessage().contains("is not an undo file"), cut::getMessage);
        bytes[bytes.length / 3] ^= 1;
        Files.write(undo, bytes);
        FormatException flipped = assertThrows(FormatException.class, () -> unmerge(out, undo, back));
        assertTrue(flipped.getMessage().contains("is damaged"), flipped::getMessage);
        assertFalse(Files.exists(back));
    }

    private static void unmerge(Path merged, Path undo, Path out) throws IOException {
        try (Checkpoint opened = Checkpoint.open(merged);
                Unmerger unmerger = new Unmerger(opened, undo)) {
            unmerger.unmerge(out);
        }
    }

    @Test
    @DisplayName("of several adapters adds the weighted sum of their updates, each from the pristine base")
    void addsSeveral() throws IOException {
        Path base = base("base.safetensors", Dtype.F32, 13);
        Path lora = adapter(new Lora(4, 4, 0), base);
        Path vera = adapter(new Vera(33, 0.1, 11, 0, false, Rounding.FMA), base);
        Path out = folder.resolve("merged.safetensors");
        try (Checkpoint opened = Checkpoint.open(base)) {
            List<MergePlan.Weighted> both = List.of(bound(opened, lora, 0.75), bound(opened, vera, -0.5));
            new Merger(opened, both, settings(Kernels.best(), 2)).merge(out);
            Map<String, double[]> first = adapted(lora, opened);
            Map<String, double[]> second = adapted(vera, opened);
            try (Checkpoint merged = Checkpoint.open(out)) {
                for (String name : first.keySet()) {
                    float[] weight = opened.tensors().get(name).toFloats();
                    float[] found = merged.tensors().get(name).toFloats();
                    for (int i = 0; i < weight.length; i++) {
                        double exact = weight[i]
                                + 0.75 * (first.get(name)[i] - weight[i])
                                - 0.5 * (second.get(name)[i] - weight[i]);
                        assertEquals(exact, found[i], 2e-6, name);
                    }
                }
            }
        }
    }

    @Test
    @DisplayName("adds no DoRA adapter to another, nor weights it")
    void refusesToAddDora() throws IOException {
        Path base = base("base.safetensors", Dtype.F32, 14);
        Path dora = adapter(new Lora(6, 4, false, true, 0, Map.of(), Map.of()), base);
        try (Checkpoint opened = Checkpoint.open(base)) {
            List<MergePlan.Weighted> half = List.of(bound(opened, dora, 0.5));
            UsageException thrown =
                    assertThrows(UsageException.class, () -> MergePlan.of(opened, half, OptionalLong.empty()));
            assertTrue(thrown.getMessage().contains("DoRA"), thrown::getMessage);
        }
    }

    @Test
    @DisplayName("of each adapter, from one reading of the base, gives what single merges give")
    void mergesEach() throws IOException {
        Path base = base("base.safetensors", Dtype.BF16, 15);
        List<Path> adapters = List.of(
                adapter(new Lora(4, 4, 0), base),
                adapter(new Lora(70, 4, 0), base),
                adapter(new Lora(6, 4, false, true, 0, Map.of(), Map.of()), base));
        List<Path> outs = new ArrayList<>();
        try (Checkpoint opened = Checkpoint.open(base)) {
            List<Merger> mergers = new ArrayList<>();
            for (Path adapter : adapters) {
                outs.add(folder.resolve("each-" + outs.size() + ".safetensors"));
                mergers.add(new Merger(opened, List.of(bound(opened, adapter, 1)), settings(Kernels.best(), 2)));
            }
            Merger.each(mergers, outs);
        }
        for (int i = 0; i < outs.size(); i++) {
            Path single = folder.resolve("single.safetensors");
            merge(adapters.get(i), base, single, 1, Kernels.best());
            assertArrayEquals(Files.readAllBytes(single), Files.readAllBytes(outs.get(i)));
        }
    }

    @Test
    @DisplayName("tells how large each update is and what rounding did to it")
    void gathersStatistics() throws IOException {
        Path base = base("base.safetensors", Dtype.BF16, 16);
        Path adapter = adapter(new Lora(5, 10, 0), base);
        Path out = folder.resolve("merged.safetensors");
        Statistics statistics = new Statistics();
        try (Checkpoint opened = Checkpoint.open(base)) {
            // scaled down until bf16 loses part of it
            new Merger(
                            opened,
                            List.of(bound(opened, adapter, 0.001)),
                            settings(Kernels.best(), 2).statistics(statistics))
                    .merge(out);
            Map<String, double[]> adapted = adapted(adapter, opened);
            assertEquals(2, statistics.tensors().size());
            try (Checkpoint merged = Checkpoint.open(out)) {
                for (Statistics.Tensor tensor : statistics.tensors()) {
                    float[] weight = opened.tensors().get(tensor.name()).toFloats();
                    float[] found = merged.tensors().get(tensor.name()).toFloats();
                    double delta = 0;
                    double squares = 0;
                    double rounding = 0;
                    long lost = 0;
                    for (int i = 0; i < weight.length; i++) {
                        double change = 0.001 * (adapted.get(tensor.name())[i] - weight[i]);
                        delta += change * change;
                        squares += (double) weight[i] * weight[i];
                        rounding = Math.max(rounding, Math.abs(weight[i] + change - found[i]));
                        lost += found[i] == weight[i] ? 1 : 0;
                    }
                    assertEquals(Math.sqrt(delta), tensor.deltaNorm(), 1e-4 * Math.sqrt(delta));
                    assertEquals(Math.sqrt(delta / squares), tensor.relative(), 1e-4 * tensor.relative());
                    assertEquals(rounding, tensor.largestRounding(), 1e-6);
                    assertEquals(weight.length, tensor.elements());
                    assertEquals(lost, tensor.lost());
                    assertTrue(lost > 0 && lost < tensor.changes(), "not a case of both kinds");
                }
            }
        }
    }

    private static void merge(Path adapter, Path base, Path out, int threads, Kernels kernels) throws IOException {
        try (Checkpoint opened = Checkpoint.open(base)) {
            new Merger(opened, List.of(bound(opened, adapter, 1)), settings(kernels, threads)).merge(out);
        }
    }

    private static Merger.Settings settings(Kernels kernels, int threads) {
        return new Merger.Settings(
                kernels,
                threads,
                false,
                new LongAdder(),
                Optional.empty(),
                Optional.empty(),
                false,
                OptionalLong.empty(),
                Outputs.replacing());
    }

    private static MergePlan.Weighted bound(Checkpoint base, Path adapter, double weight) throws IOException {
        return new MergePlan.Weighted(new Binding(base).bind(Adapter.read(adapter), false), weight);
    }

    /** The adapted weights in float64, by tensor. */
    private static Map<String, double[]> adapted(Path adapter, Checkpoint base) throws IOException {
        ReferenceOps ops = new ReferenceOps();
        BoundAdapter bound = new Binding(base).bind(Adapter.read(adapter), false);
        Map<String, double[]> adapted = new LinkedHashMap<>();
        for (Target target : bound.targets()) {
            DoubleTensor stored = DoubleTensor.of(base.tensors().get(target.tensor()));
            DoubleTensor weight = target.transposed() ? ops.transpose(stored, 1, 0) : stored;
            WeightChange<DoubleTensor> change = bound.change(
                    ops, target, key -> DoubleTensor.of(bound.tensors().get(key)), () -> weight);
            Region all = Region.of(target.out(), target.in());
            DoubleTensor whole = change.outGain() instanceof OutGain.Magnitude<DoubleTensor>(DoubleTensor norms)
                    ? scaled(change.beforeOutGain(ops, weight, all), norms)
                    : change.changed(ops, weight, all);
            adapted.put(target.tensor(), (target.transposed() ? ops.transpose(whole, 1, 0) : whole).values());
        }
        return adapted;
    }

    /** DoRA's formula, row by row. */
    private static DoubleTensor scaled(DoubleTensor whole, DoubleTensor magnitude) {
        double[] values = whole.values().clone();
        int in = (int) whole.shape().dim(1);
        for (int row = 0; row < magnitude.values().length; row++) {
            double squares = 0;
            for (int i = row * in; i < (row + 1) * in; i++) {
                squares += values[i] * values[i];
            }
            for (int i = row * in; i < (row + 1) * in; i++) {
                values[i] *= magnitude.values()[row] / Math.sqrt(squares);
            }
        }
        return new DoubleTensor(whole.shape(), values);
    }

    private Path base(String name, Dtype weights, long seed) throws IOException {
        return base(name, weights, seed, "model.q.weight", "model.other.bias", "norm", "steps", "model.v.weight");
    }

    /** A file of some of the tensors; the seed decides what is in them, whatever the file. */
    private Path base(String name, Dtype weights, long seed, String... tensors) throws IOException {
        Map<String, TensorSpec> specs = new LinkedHashMap<>();
        specs.put("model.q.weight", new TensorSpec("model.q.weight", weights, Shape.of(OUT, IN)));
        specs.put("model.v.weight", new TensorSpec("model.v.weight", weights, Shape.of(IN, OUT)));
        specs.put("model.other.bias", new TensorSpec("model.other.bias", weights, Shape.of(2)));
        specs.put("norm", new TensorSpec("norm", Dtype.F32, Shape.of(3)));
        specs.put("steps", new TensorSpec("steps", Dtype.U8, Shape.of(5)));
        List<TensorSpec> chosen = new ArrayList<>();
        for (String tensor : tensors) {
            chosen.add(specs.get(tensor));
        }
        SafetensorsHeader header = SafetensorsHeader.of(chosen, Map.of("format", "pt", "origin", "test"));
        Path path = folder.resolve(name);
        SafetensorsWriter.write(path, header, info -> {
            Random random = new Random(seed + info.name().hashCode());
            int count = Math.toIntExact(info.shape().elements());
            if (!Floats.has(info.dtype())) {
                byte[] bytes = new byte[Math.toIntExact(info.bytes())];
                random.nextBytes(bytes);
                return MemorySegment.ofArray(bytes);
            }
            float[] values = new float[count];
            for (int i = 0; i < count; i++) {
                values[i] = (float) (0.05 * random.nextGaussian());
            }
            MemorySegment bytes = MemorySegment.ofArray(new byte[Math.toIntExact(info.bytes())]);
            Floats.of(info.dtype()).encode(values, 0, count, bytes);
            return bytes;
        });
        return path;
    }

    private Path adapter(AdapterMethod method, Path base) throws IOException {
        return adapter(method, base, Map.of());
    }

    private Path adapter(AdapterMethod method, Path base, Map<String, FloatTensor> saved) throws IOException {
        return adapter(method, base, saved, false);
    }

    private Path adapter(AdapterMethod method, Path base, Map<String, FloatTensor> saved, boolean transposed)
            throws IOException {
        Path out = Files.createTempDirectory(folder, "adapter");
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            Binding binding = new Binding(checkpoint);
            List<Target> targets = new ArrayList<>();
            for (String module : MODULES) {
                Shape shape = checkpoint.tensors().get(module + ".weight").shape();
                int rows = (int) shape.dim(0);
                int columns = (int) shape.dim(1);
                targets.add(new Target(
                        module,
                        module,
                        module + ".weight",
                        transposed ? columns : rows,
                        transposed ? rows : columns,
                        new Storage.Linear(transposed),
                        checkpoint.tensors().containsKey(module + ".bias")));
            }
            Random random = new Random(9);
            BoundAdapter fresh = BoundAdapter.fresh(
                    method, targets, binding::weight, saved, Optional.empty(), binding.digests(targets), random);
            Map<String, FloatTensor> trained = new LinkedHashMap<>();
            for (String key : fresh.trainedKeys()) {
                Shape shape = fresh.tensors().get(key).shape();
                float[] values = new float[Math.toIntExact(shape.elements())];
                for (int i = 0; i < values.length; i++) {
                    values[i] = (float) (0.1 * random.nextGaussian());
                }
                trained.put(key, new FloatTensor(shape, values));
            }
            fresh.with(trained, saved).write(out, MODULES, base);
        }
        return out;
    }
}
