package dev.adapt.formats.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.lors.LorsLayout;
import dev.adapt.formats.lors.StackedModel;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.formats.tensor.TensorDigest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Consumer;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@DisplayName("A model whose layers share weights (LORS)")
class StackedModelTest {
    private static final List<String> NAMES = List.of("query", "intermediate.dense");
    private static final String STACK = "base_model.model.encoder.layer.*.attention.self.query.lors_shared";
    private static final LorsLayout LAYOUT = new LorsLayout(List.of(3, 2), List.of(1, 2));

    @TempDir
    private Path folder;

    private Path base;

    @BeforeEach
    void writeBase() throws IOException {
        base = TinyBert.write(folder.resolve("base"), 1);
    }

    @Test
    void isReadBackBitForBit() throws IOException {
        StackedModel written = write();
        StackedModel read = StackedModel.read(folder);
        assertTrue(StackedModel.isIn(folder));
        assertEquals(LAYOUT, read.stacks().layout());
        assertEquals(written.targets(), read.targets());
        assertEquals(written.stacks().targets(), read.stacks().targets());
        assertSame(written.stacks().tensors(), read.stacks().tensors());
        assertSame(written.others(), read.others());
        assertEquals(2 + 2 * 4, read.stacks().tensors().size());
        // 2 stacks, ranks 3 + 4 of in + out, and all else
        long others = written.others().values().stream()
                .mapToLong(tensor -> tensor.shape().elements())
                .sum();
        assertEquals(12 * 12 + 20 * 12 + 7 * (24 + 32) + others, read.parameters());
        assertEquals(2 * (12 * 12 + 20 * 12) + others, read.plainParameters());
    }

    @Test
    void computesWhatThePlainModelOfItsSumsDoes() throws IOException {
        StackedModel whole = write();
        Map<String, FloatTensor> plain = new LinkedHashMap<>();
        whole.others().forEach((name, tensor) -> plain.put(name, FloatTensor.of(tensor)));
        Map<String, String> keys = whole.stacks().sharedKeys();
        for (Target target : whole.stacks().targets()) {
            String weight = target.canonical() + ".weight";
            FloatTensor shared = FloatTensor.of(whole.stacks().tensors().get(keys.get(weight)));
            plain.put(weight, sum(shared, whole, "base_model.model." + target.module()));
        }
        Path expanded = Files.createDirectory(folder.resolve("expanded"));
        Files.copy(base.resolve(ModelConfig.FILE), expanded.resolve(ModelConfig.FILE));
        SafetensorsWriter.write(expanded.resolve(Checkpoint.SINGLE), plain, Map.of());
        try (Checkpoint checkpoint = Checkpoint.open(expanded)) {
            assertArrayEquals(
                    Reference.run(Model.of(checkpoint), Reference.inputs(3, 5)).values(),
                    Reference.run(whole.model(), Reference.inputs(3, 5)).values(),
                    1e-6);
        }
    }

    @Test
    void namesWhatIsMissing() throws IOException {
        for (String key : List.of(STACK, STACK.replace("*", "1").replace("shared", "A"))) {
            write();
            rewrite(tensors -> tensors.remove(key));
            assertMessage(key + ": is missing");
        }
        write();
        rewrite(tensors -> tensors.remove("base_model.model.embeddings.LayerNorm.bias"));
        assertMessage("lacks 1 tensors that its config.json calls for, among them embeddings.LayerNorm.bias");
        Files.delete(folder.resolve(ModelConfig.FILE));
        assertThrows(IOException.class, () -> StackedModel.read(folder));
    }

    @Test
    void namesWhatHasAnotherShape() throws IOException {
        for (String key : List.of(STACK, "base_model.model.encoder.layer.0.attention.self.query.lors_B")) {
            write();
            rewrite(tensors -> tensors.put(key, new FloatTensor(Shape.of(3), new float[3])));
            assertMessage(key + ": has shape [3]");
        }
        write();
        rewrite(tensors -> tensors.put(
                "base_model.model.encoder.layer.0.attention.self.query.lora_A.weight",
                new FloatTensor(Shape.of(1), new float[1])));
        assertMessage("is no tensor of LORS");
        write();
        rewrite(tensors -> tensors.put("base_model.stray", new FloatTensor(Shape.of(1), new float[1])));
        assertMessage("no module that shares weights uses: base_model.stray");
    }

    @Test
    void refusesRanksAndGroupsThatDoNotFitItsLayers() throws IOException {
        write();
        Path config = folder.resolve("adapter_config.json");
        String text = Files.readString(config);
        Files.writeString(config, text.replace("\"lors_groups\" : [ 1, 2 ]", "\"lors_groups\" : [ 1, 2, 3 ]"));
        assertMessage("has groups for 3 layers, expected one for all or one for each of the model's 2");
        Files.writeString(config, text.replace("\"r\" : [ 3, 2 ]", "\"r\" : [ 3, 0 ]"));
        assertMessage("r: expected a positive integer, or a list of one for each layer, found [3,0]");
        Files.writeString(config, text.replace("\"r\" : [ 3, 2 ]", "\"r\" : 9"));
        assertMessage("has rank 9 in 2 groups for encoder.layer.1.attention.self.query, which is [12, 12]");
    }

    @Test
    void isNoAdapterOfABase() throws IOException {
        write();
        FormatException thrown = assertThrows(FormatException.class, () -> Adapter.read(folder));
        assertTrue(thrown.getMessage().contains("is a whole model, of LORS"), thrown::getMessage);
    }

    @Test
    void startsWithAllLayersOfAStackEqualAndTheRestAsThePlainModel() throws IOException {
        ModelConfig config = ModelConfig.read(base.resolve(ModelConfig.FILE));
        StackedModel stacked = StackedModel.fromScratch(config, LAYOUT, NAMES, new Random(7));
        PlainModel plain = FromScratch.of(config, new Random(7));
        assertEquals(plain.parameters(), stacked.plainParameters());
        assertEquals(
                TensorDigest.ofFloats(plain.others().get("embeddings.word_embeddings.weight")),
                TensorDigest.ofFloats(stacked.others().get("embeddings.word_embeddings.weight")));
        assertTrue(stacked.others().containsKey("pooler.dense.weight"));
        for (Target target : stacked.stacks().targets()) {
            FloatTensor shared = FloatTensor.of(
                    stacked.stacks().tensors().get(stacked.stacks().sharedKeys().get(target.canonical() + ".weight")));
            assertArrayEquals(
                    shared.values(), stacked.stacks().adapted(target, shared).values(), 0);
        }
    }

    /** A model of random values, in {@link #folder}. */
    private StackedModel write() throws IOException {
        Random random = new Random(3);
        StackedModel fresh =
                StackedModel.fromScratch(ModelConfig.read(base.resolve(ModelConfig.FILE)), LAYOUT, NAMES, random);
        Map<String, FloatTensor> values = new LinkedHashMap<>();
        fresh.model()
                .trainable()
                .forEach(name ->
                        values.put(name, TinyBert.random(leaf(fresh, name).shape(), random)));
        StackedModel whole = fresh.trained(values);
        whole.write(folder);
        return whole;
    }

    /** {@code W_shared + B·A}, element by element. */
    private static FloatTensor sum(FloatTensor shared, StackedModel whole, String module) {
        FloatTensor a = FloatTensor.of(leaf(whole, module + ".lors_A"));
        FloatTensor b = FloatTensor.of(leaf(whole, module + ".lors_B"));
        int rank = (int) a.shape().dim(0);
        int in = (int) a.shape().dim(1);
        float[] sums = new float[shared.values().length];
        for (int i = 0; i < sums.length; i++) {
            double sum = shared.values()[i];
            for (int k = 0; k < rank; k++) {
                sum += (double) b.values()[i / in * rank + k] * a.values()[k * in + i % in];
            }
            sums[i] = (float) sum;
        }
        return new FloatTensor(shared.shape(), sums);
    }

    private static Tensor leaf(StackedModel whole, String name) {
        return whole.model().leaf(name);
    }

    private void assertMessage(String part) {
        FormatException thrown = assertThrows(FormatException.class, () -> StackedModel.read(folder));
        assertTrue(thrown.getMessage().contains(part), thrown::getMessage);
    }

    private static void assertSame(Map<String, Tensor> expected, Map<String, Tensor> actual) {
        assertEquals(expected.keySet(), actual.keySet());
        expected.forEach((name, tensor) ->
                assertEquals(TensorDigest.ofFloats(tensor), TensorDigest.ofFloats(actual.get(name)), name));
    }

    private void rewrite(Consumer<Map<String, FloatTensor>> change) throws IOException {
        Path path = folder.resolve(Adapter.FILE);
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            file.tensors().forEach(tensor -> tensors.put(tensor.name(), FloatTensor.of(tensor)));
        }
        change.accept(tensors);
        SafetensorsWriter.write(path, tensors, Map.of());
    }
}
