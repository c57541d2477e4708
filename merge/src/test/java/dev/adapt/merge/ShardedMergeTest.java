package dev.adapt.merge;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.ShardIndex;
import dev.adapt.formats.checkpoint.ShardPlan;
import dev.adapt.formats.checkpoint.WeightFiles;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.SafetensorsHeader;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.safetensors.TensorSpec;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.saved.BaseChange;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.merge.kernel.Floats;
import dev.adapt.merge.plan.MergePlan;
import dev.adapt.merge.undo.Unmerger;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.SequencedMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("A merge into shards of a size")
class ShardedMergeTest {
    private static final JsonMapper JSON = new JsonMapper();
    private static final List<Dtype> DTYPES = List.of(Dtype.F32, Dtype.BF16, Dtype.F16, Dtype.U8);

    @TempDir
    private Path folder;

    @ParameterizedTest(name = "seed {0}")
    @ValueSource(longs = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19})
    @DisplayName("writes the tensors that a merge without writes, in files of that size, and is undone bit for bit")
    void keepsEveryTensor(long seed) throws IOException {
        Random random = new Random(seed);
        Path base = base(random);
        Path whole = folder.resolve("whole");
        Path sharded = folder.resolve("sharded");
        Path wholeUndo = folder.resolve("whole.undo");
        Path undo = folder.resolve("sharded.undo");
        try (Checkpoint opened = Checkpoint.open(base)) {
            List<MergePlan.Weighted> adapters = List.of(new MergePlan.Weighted(adapter(opened, random, 3), 1));
            new Merger(opened, adapters, settings().undo(wholeUndo)).merge(whole);
            long all = opened.tensors().values().stream()
                    .mapToLong(tensor -> tensor.info().bytes())
                    .sum();
            long limit = random.nextLong(1, all + 200);
            new Merger(opened, adapters, settings().maxShardBytes(limit).undo(undo)).merge(sharded);
            assertSame(whole, sharded);
            assertShards(sharded, limit);
        }
        assertUndone(whole, wholeUndo, base);
        assertUndone(sharded, undo, base);
    }

    private void assertUndone(Path merged, Path undo, Path base) throws IOException {
        Path back = folder.resolve(merged.getFileName() + "-undone");
        try (Checkpoint opened = Checkpoint.open(merged);
                Unmerger unmerger = new Unmerger(opened, undo)) {
            unmerger.unmerge(back);
        }
        assertEquals(names(base), names(back));
        for (String name : names(base)) {
            assertArrayEquals(Files.readAllBytes(base.resolve(name)), Files.readAllBytes(back.resolve(name)), name);
        }
    }

    private static void assertSame(Path expected, Path found) throws IOException {
        try (Checkpoint left = Checkpoint.open(expected);
                Checkpoint right = Checkpoint.open(found)) {
            assertEquals(left.tensors().keySet(), right.tensors().keySet());
            for (TensorView tensor : left.tensors().values()) {
                TensorView other = right.tensors().get(tensor.name());
                assertEquals(tensor.dtype(), other.dtype());
                assertEquals(tensor.shape(), other.shape());
                assertEquals(-1, tensor.data().mismatch(other.data()), tensor.name());
            }
        }
    }

    private static void assertShards(Path folder, long limit) throws IOException {
        try (Checkpoint shards = Checkpoint.open(folder)) {
            int count = shards.files().size();
            assertEquals(count > 1, shards.index().isPresent());
            assertEquals(List.of(), shards.notes(), "total_size is not that of the tensors");
            for (SafetensorsFile file : shards.files()) {
                List<TensorInfo> tensors = file.header().tensors();
                assertTrue(tensors.size() == 1
                        || tensors.stream().mapToLong(TensorInfo::bytes).sum() <= limit);
                for (TensorInfo tensor : tensors) {
                    assertEquals(0, tensor.begin() % (tensor.dtype().bits() / 8), tensor.name() + " is not aligned");
                }
                assertEquals("pt", file.metadata().get("format"));
            }
            List<String> names = names(folder);
            assertTrue(names.contains(
                    count == 1 ? Checkpoint.SINGLE : "model-00001-of-%05d.safetensors".formatted(count)));
            assertEquals(count > 1 ? count + 1 : 1, names.size(), names::toString);
        }
    }

    @Test
    @DisplayName("of each adapter, where one has a tensor that makes a shard more, gives what single merges give")
    void ofEach() throws IOException {
        Random random = new Random(30);
        Path base = base(random);
        try (Checkpoint opened = Checkpoint.open(base)) {
            List<Merger> mergers = new ArrayList<>();
            List<Path> outs = new ArrayList<>();
            for (int words : new int[] {3, 900, 40}) {
                List<MergePlan.Weighted> adapters = List.of(new MergePlan.Weighted(adapter(opened, random, words), 1));
                mergers.add(new Merger(opened, adapters, settings().maxShardBytes(2000)));
                outs.add(folder.resolve("each-" + words));
                new Merger(opened, adapters, settings()).merge(folder.resolve("single-" + words));
            }
            Merger.each(mergers, outs);
            for (int words : new int[] {3, 900, 40}) {
                assertSame(folder.resolve("single-" + words), folder.resolve("each-" + words));
            }
        }
    }

    @Test
    @DisplayName("into one file is refused where it makes several, and writes nothing")
    void intoOneFile() throws IOException {
        Random random = new Random(31);
        Path base = base(random);
        Path file = Files.copy(
                base.resolve(names(base).stream()
                        .filter(name -> name.endsWith(".safetensors"))
                        .findFirst()
                        .orElseThrow()),
                folder.resolve("base.safetensors"));
        Path out = folder.resolve("out.safetensors");
        try (Checkpoint opened = Checkpoint.open(file)) {
            List<MergePlan.Weighted> adapters = List.of(new MergePlan.Weighted(adapter(opened, random, 3), 1));
            UsageException refused = assertThrows(
                    UsageException.class,
                    () -> new Merger(opened, adapters, settings().maxShardBytes(1)).merge(out));
            assertTrue(refused.getMessage().contains("is to be one file, but"), refused::getMessage);
            assertFalse(Files.exists(out));
            new Merger(opened, adapters, settings().maxShardBytes(1 << 20)).merge(out);
            new Merger(opened, adapters, settings()).merge(folder.resolve("whole.safetensors"));
        }
        assertSame(folder.resolve("whole.safetensors"), out);
    }

    private static Merger.Settings settings() {
        return Merger.Settings.of(2).flush(false);
    }

    private static List<String> names(Path folder) throws IOException {
        try (Stream<Path> inside = Files.list(folder)) {
            return inside.map(file -> file.getFileName().toString()).sorted().toList();
        }
    }

    /** A folder of one file or up to three, with tensors of all dtypes in any order of their names. */
    private Path base(Random random) throws IOException {
        SequencedMap<String, Long> bytes = new LinkedHashMap<>();
        Map<String, TensorSpec> specs = new LinkedHashMap<>();
        int count = random.nextInt(8, 20);
        for (int i = 0; i < count; i++) {
            // the first two are sure to be adapted, and the third to be replaced
            Dtype dtype = DTYPES.get(random.nextInt(i < 3 ? 3 : 4));
            Shape shape = Shape.of(random.nextInt(1, 20), random.nextInt(1, 20));
            TensorSpec spec = new TensorSpec("model." + i + ".weight", dtype, shape);
            specs.put(spec.name(), spec);
            bytes.put(spec.name(), spec.bytes());
        }
        long all = bytes.values().stream().mapToLong(Long::longValue).sum();
        ShardPlan plan = ShardPlan.split(bytes, random.nextLong(all / 2, 2 * all), WeightFiles.TRANSFORMERS);
        Path base = Files.createDirectories(folder.resolve("base"));
        plan.shards().forEach((file, tensors) -> {
            List<TensorSpec> own = tensors.stream().map(specs::get).toList();
            write(base.resolve(file), SafetensorsHeader.of(own, Map.of("format", "pt")), random);
        });
        if (plan.sharded()) {
            ShardIndex index = ShardIndex.of(plan.weightMap(), all, JSON.createObjectNode());
            Files.writeString(base.resolve(ShardIndex.FILE), index.text());
        }
        return base;
    }

    private static void write(Path file, SafetensorsHeader header, Random random) {
        try {
            SafetensorsWriter.write(file, header, info -> {
                byte[] any = new byte[Math.toIntExact(info.bytes())];
                if (Floats.has(info.dtype())) {
                    float[] values = values(random, info.shape());
                    Floats.of(info.dtype()).encode(values, 0, values.length, MemorySegment.ofArray(any));
                } else {
                    random.nextBytes(any);
                }
                return MemorySegment.ofArray(any);
            });
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** It adapts two weights, replaces one, and brings one of its own. */
    private static BoundAdapter adapter(Checkpoint base, Random random, int words) {
        SequencedMap<Target, BoundAdapter.Factors> updates = new LinkedHashMap<>();
        for (String module : List.of("model.0", "model.1")) {
            TensorView weight = base.tensors().get(module + ".weight");
            int out = Math.toIntExact(weight.shape().dim(0));
            int in = Math.toIntExact(weight.shape().dim(1));
            updates.put(
                    new Target(module, module, weight.name(), out, in, false),
                    new BoundAdapter.Factors(tensor(random, Shape.of(out, 2)), tensor(random, Shape.of(2, in))));
        }
        Shape replaced = base.tensors().get("model.2.weight").shape();
        Map<String, Tensor> saved =
                Map.of("model.2.weight", tensor(random, replaced), "head.weight", tensor(random, Shape.of(words, 2)));
        return BoundAdapter.lora(updates, saved, Map.of(), BaseChange.of(Optional.empty()), Map.of());
    }

    private static FloatTensor tensor(Random random, Shape shape) {
        return new FloatTensor(shape, values(random, shape));
    }

    private static float[] values(Random random, Shape shape) {
        float[] values = new float[Math.toIntExact(shape.elements())];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (0.1 * random.nextGaussian());
        }
        return values;
    }
}
