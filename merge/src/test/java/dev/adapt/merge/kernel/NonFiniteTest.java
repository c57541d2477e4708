package dev.adapt.merge.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.PatchJournal;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.SafetensorsHeader;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorSpec;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.merge.Merger;
import dev.adapt.merge.convert.AdapterCombination;
import dev.adapt.merge.convert.AdapterLayers;
import dev.adapt.merge.convert.Combination;
import dev.adapt.merge.convert.CombinationType;
import dev.adapt.merge.convert.Conversion;
import dev.adapt.merge.convert.Extraction;
import dev.adapt.merge.convert.SharedMatrices;
import dev.adapt.merge.lowrank.Cut;
import dev.adapt.merge.plan.MergePlan;
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
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.concurrent.atomic.LongAdder;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

@DisplayName("A result that is not finite is refused, by tensor, count and cause")
class NonFiniteTest {
    private static final int OUT = 70; // two tiles' worth of whole blocks and an odd rest
    private static final int IN = 45; // whole vectors and a tail
    private static final int RANK = 3;
    private static final String A = "base_model.model.q.lora_A.weight";
    private static final String B = "base_model.model.q.lora_B.weight";
    private static final String M = "base_model.model.q.lora_magnitude_vector";
    private static final String SAVED = "base_model.model.head.weight";

    @TempDir
    private Path folder;

    /** One value of one tensor, and how what is made of it is refused. */
    record Fault(String tensor, float value, String message) {}

    static Stream<Arguments> merges() {
        List<Arguments> cases = new ArrayList<>();
        for (Kernels kernels : List.of(new ScalarKernels(), new VectorKernels())) {
            for (Dtype dtype : List.of(Dtype.F64, Dtype.F32, Dtype.F16, Dtype.BF16)) {
                for (boolean dora : List.of(false, true)) {
                    cases.addAll(Stream.of(
                                    new Fault("q.weight", Float.NaN, "q.weight: 1 of its 3150 elements are NaN"),
                                    new Fault("q.weight", Float.NEGATIVE_INFINITY, "in the base"),
                                    new Fault(A, Float.NaN, A + ": holds 1 NaN of 135 values in the adapter"),
                                    new Fault(B, Float.POSITIVE_INFINITY, B + ": holds 1 infinite of 210 values"),
                                    new Fault(SAVED, Float.NaN, SAVED + ": holds 1 NaN of 4 values in the adapter"))
                            .map(fault -> Arguments.of(kernels, dtype, dora, fault))
                            .toList());
                }
                cases.add(
                        Arguments.of(kernels, dtype, true, new Fault(M, Float.NaN, M + ": holds 1 NaN of 70 values")));
                // 0.5·3e38 in B times 4 in A: finite factors, an infinite product
                cases.add(Arguments.of(
                        kernels, dtype, false, new Fault(B, 1.5e38f, "elements of its update overflow float32")));
            }
            cases.add(Arguments.of(
                    kernels, Dtype.F16, false, new Fault(B, 20_000, "45 of its 3150 merged elements are finite but")));
            cases.add(Arguments.of(
                    kernels, Dtype.F16, true, new Fault(M, 1e6f, "merged elements are finite but larger than F16")));
            cases.add(Arguments.of(
                    kernels, Dtype.F16, false, new Fault(SAVED, 70_000, "head.weight: 1 of its 4 merged elements")));
            cases.add(Arguments.of(
                    kernels, Dtype.BF16, false, new Fault(SAVED, 3.4e38f, "larger than BF16 holds (about 3.4e38)")));
        }
        return cases.stream();
    }

    @ParameterizedTest(name = "{0}, {1}, DoRA {2}: {3}")
    @MethodSource("merges")
    @DisplayName("by a merge, which leaves nothing behind")
    void merge(Kernels kernels, Dtype dtype, boolean dora, Fault fault) throws IOException {
        Path base = base("base", dtype, Optional.of(fault));
        Path adapter = adapter("adapter", dora, Optional.of(fault));
        Path out = folder.resolve("out.safetensors");
        FormatException thrown = assertThrows(FormatException.class, () -> merge(base, adapter, kernels, out));
        assertTrue(thrown.getMessage().contains(fault.message()), thrown.getMessage());
        assertTrue(thrown.getMessage().startsWith(folder.toString()), thrown.getMessage());
        assertFalse(Files.exists(out));
        try (Stream<Path> left = Files.list(folder)) {
            assertEquals(
                    List.of("adapter", "base"),
                    left.map(each -> each.getFileName().toString()).sorted().toList());
        }
    }

    @Test
    @DisplayName("by a merge in place, whose base is as it was")
    void inPlace() throws IOException {
        Fault fault = new Fault(B, Float.NaN, "");
        Path base = base("base", Dtype.BF16, Optional.empty());
        Path file = base.resolve(Checkpoint.SINGLE);
        byte[] before = Files.readAllBytes(file);
        Path adapter = adapter("adapter", false, Optional.of(fault));
        try (PatchJournal journal = PatchJournal.begin(base);
                Checkpoint checkpoint = Checkpoint.open(journal);
                Adapter.Opened opened = Adapter.open(adapter)) {
            Merger merger = merger(checkpoint, opened.adapter(), Kernels.best());
            assertThrows(FormatException.class, () -> merger.mergeInPlace(journal));
        }
        assertArrayEquals(before, Files.readAllBytes(file));
        try (Stream<Path> left = Files.list(base)) {
            assertEquals(1, left.count());
        }
    }

    @Test
    @DisplayName("a NaN that no adapter touches is copied as it is")
    void untouched() throws IOException {
        Path base = base("base", Dtype.BF16, Optional.of(new Fault("norm", Float.NaN, "")));
        Path adapter = adapter("adapter", false, Optional.empty());
        Path out = folder.resolve("out");
        merge(base, adapter, Kernels.best(), out);
        try (SafetensorsFile merged = SafetensorsFile.open(out.resolve(Checkpoint.SINGLE))) {
            assertTrue(Float.isNaN(merged.tensor("norm").toFloats()[0]));
        }
    }

    @Test
    @DisplayName("by convert, combine and extract, each naming file and tensor")
    void otherCommands() throws IOException {
        Path good = adapter("good", false, Optional.empty());
        Path nan = adapter("nan", false, Optional.of(new Fault(A, Float.NaN, "")));
        Path large = adapter("large", false, Optional.of(new Fault(B, 1e6f, "")));
        Path base = base("base", Dtype.F32, Optional.empty());
        Path tuned = base("tuned", Dtype.F32, Optional.of(new Fault("q.weight", Float.NaN, "")));
        refused(
                "nan/adapter_model.safetensors: " + A + ": holds 1 NaN of 135",
                out -> convert(nan, Dtype.F16, false, out));
        refused(
                "nan/adapter_model.safetensors: " + A + ": holds 1 NaN of 135",
                out -> convert(nan, Dtype.F32, true, out));
        refused(
                B + ": 1 of its 210 values, such as 1000000.0, are larger than F16 holds; take bf16 or f32",
                out -> convert(large, Dtype.F16, false, out));
        for (CombinationType type : List.of(CombinationType.LINEAR, CombinationType.CAT, CombinationType.SVD)) {
            refused(
                    "nan/adapter_model.safetensors: " + A + ": holds 1 NaN",
                    out -> combine(type, List.of(good, nan), out));
        }
        refused("tuned/model.safetensors: q.weight: holds 1 NaN of 3150", out -> extract(tuned, base, out));
        refused("tuned/model.safetensors: q.weight: holds 1 NaN of 3150", out -> extract(base, tuned, out));
    }

    private interface Command {
        void run(Path out) throws IOException;
    }

    private void refused(String message, Command command) {
        Path out = folder.resolve("out");
        FormatException thrown = assertThrows(FormatException.class, () -> command.run(out));
        assertTrue(thrown.getMessage().contains(message), thrown.getMessage());
        assertFalse(Files.exists(out));
    }

    private static void convert(Path adapter, Dtype dtype, boolean cut, Path out) throws IOException {
        new Conversion(
                        Conversion.Form.SAME,
                        cut ? Optional.of(new Cut.Rank(1)) : Optional.empty(),
                        Optional.of(dtype),
                        SharedMatrices.AS_THEY_ARE,
                        Optional.empty())
                .convert(adapter, Optional.empty(), false, out);
    }

    private static void combine(CombinationType type, List<Path> adapters, Path out) throws IOException {
        List<AdapterLayers> layers = new ArrayList<>();
        for (Path adapter : adapters) {
            layers.add(AdapterLayers.read(adapter, Optional.empty(), false));
        }
        Combination how = new Combination(type, 1, Combination.MajoritySign.TOTAL, 0, OptionalInt.empty());
        new AdapterCombination(how, List.of(1.0, 1.0)).combine(layers, Dtype.F32, out);
    }

    private static void extract(Path tuned, Path base, Path out) throws IOException {
        try (Checkpoint after = Checkpoint.open(tuned);
                Checkpoint before = Checkpoint.open(base)) {
            new Extraction(new Cut.Rank(2), List.of("q"), List.of(), Dtype.F32).extract(after, before, out);
        }
    }

    private static void merge(Path base, Path adapter, Kernels kernels, Path out) throws IOException {
        // a file makes a file, a folder a folder
        Path from = out.toString().endsWith(".safetensors") ? base.resolve(Checkpoint.SINGLE) : base;
        try (Checkpoint checkpoint = Checkpoint.open(from);
                Adapter.Opened opened = Adapter.open(adapter)) {
            merger(checkpoint, opened.adapter(), kernels).merge(out);
        }
    }

    private static Merger merger(Checkpoint base, Adapter adapter, Kernels kernels) {
        Merger.Settings settings = new Merger.Settings(
                kernels,
                2,
                false,
                new LongAdder(),
                Optional.empty(),
                Optional.empty(),
                false,
                OptionalLong.empty(),
                Outputs.fresh());
        return new Merger(base, List.of(new MergePlan.Weighted(new Binding(base).bind(adapter, true), 1)), settings);
    }

    private Path base(String name, Dtype dtype, Optional<Fault> fault) throws IOException {
        Map<String, Shape> shapes = new LinkedHashMap<>();
        shapes.put("q.weight", Shape.of(OUT, IN));
        shapes.put("head.weight", Shape.of(2, 2));
        shapes.put("norm", Shape.of(3));
        Path out = Files.createDirectory(folder.resolve(name));
        write(out.resolve(Checkpoint.SINGLE), shapes, dtype, name.equals("tuned") ? 1 : 0.5f, fault);
        return out;
    }

    private Path adapter(String name, boolean dora, Optional<Fault> fault) throws IOException {
        Map<String, Shape> shapes = new LinkedHashMap<>();
        shapes.put(A, Shape.of(RANK, IN));
        shapes.put(B, Shape.of(OUT, RANK));
        if (dora) {
            shapes.put(M, Shape.of(OUT));
        }
        boolean saves = fault.isPresent() && fault.get().tensor().equals(SAVED);
        if (saves) {
            shapes.put(SAVED, Shape.of(2, 2));
        }
        Path out = Files.createDirectory(folder.resolve(name));
        write(out.resolve(Adapter.FILE), shapes, Dtype.F32, 4, fault);
        Files.writeString(
                out.resolve("adapter_config.json"),
                "{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 3, \"target_modules\": [\"q\"], \"use_dora\": "
                        + dora + ", \"modules_to_save\": " + (saves ? "[\"head\"]" : "null") + "}");
        return out;
    }

    /** All elements the same, but for the one of the fault in the last place. */
    private static void write(Path file, Map<String, Shape> shapes, Dtype dtype, float value, Optional<Fault> fault)
            throws IOException {
        List<TensorSpec> specs = shapes.entrySet().stream()
                .map(each -> new TensorSpec(each.getKey(), dtype, each.getValue()))
                .toList();
        SafetensorsWriter.write(file, SafetensorsHeader.of(specs, Map.of()), info -> {
            float[] values = new float[Math.toIntExact(info.shape().elements())];
            Arrays.fill(values, value);
            fault.filter(own -> own.tensor().equals(info.name()))
                    .ifPresent(own -> values[info.name().equals("norm") ? 0 : values.length - 1] = own.value());
            MemorySegment bytes = MemorySegment.ofArray(new byte[Math.toIntExact(info.bytes())]);
            Floats.of(info.dtype()).encode(values, 0, values.length, bytes);
            return bytes;
        });
    }
}
