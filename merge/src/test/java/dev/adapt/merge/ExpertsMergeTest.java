package dev.adapt.merge;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.merge.plan.Layout;
import dev.adapt.merge.plan.MergePlan;
import dev.adapt.merge.undo.Unmerger;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** LoRA on stacks of experts against a plain computation in float64, one element after the other. */
@DisplayName("LoRA on stacks of experts")
class ExpertsMergeTest {
    private static final int EXPERTS = 3;
    private static final int RANK = 2;
    private static final double SCALE = 8.0 / RANK;
    private static final String PEFT = "base_model.model.";
    private static final String STACK = "model.layers.0.mlp.experts.";

    @TempDir
    private Path folder;

    private final Random random = new Random(1);

    /** How a base stores its experts. */
    enum Layout {
        STACKED,
        TRANSPOSED,
        SEPARATE
    }

    /** Expert by expert, [out][in]. */
    @SuppressWarnings("ArrayRecordComponent")
    private record Stack(double[][][] experts) {
        int out() {
            return experts[0].length;
        }

        int in() {
            return experts[0][0].length;
        }
    }

    static Stream<Arguments> layouts() {
        // hidden and inner widths; 8 and 4 make the gate and up projections together square
        return Stream.of(Layout.values())
                .flatMap(layout -> Stream.of(new int[] {5, 3}, new int[] {8, 4}, new int[] {6, 6})
                        .map(widths -> Arguments.of(layout, widths[0], widths[1])));
    }

    @ParameterizedTest(name = "{0}, hidden {1}, inner {2}")
    @MethodSource("layouts")
    @DisplayName("merges keys of wrapped parameters into each layout of a base, and is undone bit for bit")
    void wrappers(Layout layout, int hidden, int inner) throws IOException {
        Stack gateUp = stack(2 * inner, hidden);
        Stack down = stack(hidden, inner);
        Map<String, FloatTensor> adapter = new LinkedHashMap<>();
        Stack newGateUp = adapted(gateUp, STACK + "base_layer.", adapter, RANK, SCALE);
        Stack newDown = adapted(down, STACK, adapter, RANK, SCALE);
        adapter(adapter, "{}");
        base(layout, gateUp, down);
        Path undo = folder.resolve("undo");
        merge(undo);
        assertHolds(tensors(layout, newGateUp, newDown));
        try (Checkpoint merged = Checkpoint.open(folder.resolve("merged"));
                Unmerger unmerger = new Unmerger(merged, undo)) {
            unmerger.unmerge(folder.resolve("back"));
        }
        assertArrayEquals(
                Files.readAllBytes(folder.resolve("base/model.safetensors")),
                Files.readAllBytes(folder.resolve("back/model.safetensors")));
    }

    @Test
    @DisplayName("takes a rank of its own for one parameter from rank_pattern")
    void rankOfParameter() throws IOException {
        Stack gateUp = stack(6, 5);
        Stack down = stack(5, 3);
        Map<String, FloatTensor> adapter = new LinkedHashMap<>();
        Stack newGateUp = adapted(gateUp, STACK + "base_layer.", adapter, 4, 8.0 / 4);
        Stack newDown = adapted(down, STACK, adapter, RANK, SCALE);
        adapter(adapter, "{\".*\\\\.experts\\\\.gate_up_proj\": 4}");
        base(Layout.STACKED, gateUp, down);
        merge(folder.resolve("undo"));
        assertHolds(tensors(Layout.STACKED, newGateUp, newDown));
    }

    @ParameterizedTest
    @EnumSource(names = {"STACKED", "SEPARATE"})
    @DisplayName("merges keys of single experts, of ranks that differ, into each layout of a base")
    void experts(Layout layout) throws IOException {
        Stack gateUp = stack(6, 5);
        Stack down = stack(5, 3);
        Stack newGateUp = copy(gateUp);
        Stack newDown = copy(down);
        Map<String, FloatTensor> adapter = new LinkedHashMap<>();
        for (int expert = 0; expert < EXPERTS; expert++) {
            for (String part : List.of("gate_proj", "up_proj", "down_proj")) {
                int rank = expert == 1 ? 1 : RANK;
                Stack stack = part.equals("down_proj") ? newDown : newGateUp;
                int rows = part.equals("down_proj") ? stack.out() : stack.out() / 2;
                int from = part.equals("up_proj") ? rows : 0;
                double[][] a = matrix(rank, stack.in());
                double[][] b = matrix(rows, rank);
                adapter.put(PEFT + STACK + expert + "." + part + ".lora_A.weight", tensor(a));
                adapter.put(PEFT + STACK + expert + "." + part + ".lora_B.weight", tensor(b));
                for (int row = 0; row < rows; row++) {
                    add(stack.experts()[expert][from + row], b[row], a, 8.0 / rank);
                }
            }
        }
        SafetensorsWriter.write(directory("adapter").resolve(Adapter.FILE), adapter, Map.of());
        Files.writeString(folder.resolve("adapter/adapter_config.json"), """
                {"peft_type": "LORA", "r": 2, "lora_alpha": 8, "rank_pattern": {"experts.1.[a-z_]*": 1},
                 "target_modules": ["gate_proj", "up_proj", "down_proj"]}""");
        base(layout, gateUp, down);
        merge(folder.resolve("undo"));
        assertHolds(tensors(layout, newGateUp, newDown));
    }

    @Test
    @DisplayName("refuses an adapter that lacks one of the parameters its config names")
    void lacking() throws IOException {
        Stack gateUp = stack(6, 5);
        Stack down = stack(5, 3);
        Map<String, FloatTensor> adapter = new LinkedHashMap<>();
        adapted(down, STACK, adapter, RANK, SCALE);
        adapter(adapter, "{}");
        base(Layout.STACKED, gateUp, down);
        FormatException thrown = assertThrows(FormatException.class, () -> merge(folder.resolve("undo")));
        assertTrue(thrown.getMessage().contains("1 of its parameters"), thrown.getMessage());
        assertTrue(thrown.getMessage().contains("gate_up_proj, down_proj"), thrown.getMessage());
    }

    /** A stack with an update, whose factors come into an adapter. */
    private Stack adapted(Stack stack, String module, Map<String, FloatTensor> adapter, int rank, double scale) {
        double[][] a = matrix(EXPERTS * rank, stack.in());
        double[][] b = matrix(stack.out(), rank * EXPERTS);
        adapter.put(PEFT + module + "lora_A.weight", tensor(a));
        adapter.put(PEFT + module + "lora_B.weight", tensor(b));
        Stack adapted = copy(stack);
        for (int e = 0; e < EXPERTS; e++) {
            for (int o = 0; o < stack.out(); o++) {
                for (int k = 0; k < rank; k++) {
                    for (int i = 0; i < stack.in(); i++) {
                        adapted.experts()[e][o][i] += scale * b[o][k * EXPERTS + e] * a[e * rank + k][i];
                    }
                }
            }
        }
        return adapted;
    }

    private static void add(double[] row, double[] left, double[][] right, double scale) {
        for (int i = 0; i < row.length; i++) {
            for (int k = 0; k < left.length; k++) {
                row[i] += scale * left[k] * right[k][i];
            }
        }
    }

    private void adapter(Map<String, FloatTensor> tensors, String ranks) throws IOException {
        SafetensorsWriter.write(directory("adapter").resolve(Adapter.FILE), tensors, Map.of());
        Files.writeString(folder.resolve("adapter/adapter_config.json"), """
                {"peft_type": "LORA", "r": 2, "lora_alpha": 8, "rank_pattern": %s, "target_modules": [],
                 "target_parameters": ["mlp.experts.down_proj", "mlp.experts.gate_up_proj"]}""".formatted(ranks));
    }

    private void base(Layout layout, Stack gateUp, Stack down) throws IOException {
        SafetensorsWriter.write(
                directory("base").resolve("model.safetensors"), tensors(layout, gateUp, down), Map.of());
        Files.writeString(folder.resolve("base/config.json"), """
                {"model_type": "%s"}""".formatted(
                        layout == Layout.TRANSPOSED ? "gpt_oss" : "qwen3_moe"));
    }

    private Path directory(String name) throws IOException {
        return Files.createDirectories(folder.resolve(name));
    }

    private void merge(Path undo) throws IOException {
        Adapter adapter = Adapter.read(folder.resolve("adapter"));
        try (Checkpoint base = Checkpoint.open(folder.resolve("base"))) {
            MergePlan.Weighted bound = new MergePlan.Weighted(new Binding(base).bind(adapter, false), 1);
            new Merger(base, List.of(bound), Merger.Settings.of(2).flush(false).undo(undo))
                    .merge(folder.resolve("merged"));
        }
    }

    private void assertHolds(Map<String, FloatTensor> expected) throws IOException {
        try (Checkpoint merged = Checkpoint.open(folder.resolve("merged"))) {
            assertEquals(expected.keySet(), merged.tensors().keySet());
            expected.forEach((name, tensor) -> assertArrayEquals(
                    tensor.values(), merged.tensors().get(name).toFloats(), 1e-6f, name));
        }
    }

    private static Map<String, FloatTensor> tensors(Layout layout, Stack gateUp, Stack down) {
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        if (layout == Layout.SEPARATE) {
            for (int e = 0; e < EXPERTS; e++) {
                double[][] both = gateUp.experts()[e];
                double[][] gate = Arrays.copyOfRange(both, 0, both.length / 2);
                double[][] up = Arrays.copyOfRange(both, both.length / 2, both.length);
                tensors.put(STACK + e + ".gate_proj.weight", tensor(gate));
                tensors.put(STACK + e + ".up_proj.weight", tensor(up));
                tensors.put(STACK + e + ".down_proj.weight", tensor(down.experts()[e]));
            }
        } else {
            tensors.put(STACK + "gate_up_proj", tensor(gateUp, layout == Layout.TRANSPOSED));
            tensors.put(STACK + "down_proj", tensor(down, layout == Layout.TRANSPOSED));
        }
        return new TreeMap<>(tensors);
    }

    private static FloatTensor tensor(Stack stack, boolean transposed) {
        int rows = transposed ? stack.in() : stack.out();
        int columns = transposed ? stack.out() : stack.in();
        float[] values = new float[EXPERTS * rows * columns];
        for (int i = 0; i < values.length; i++) {
            int row = i / columns % rows;
            int column = i % columns;
            double[][] expert = stack.experts()[i / columns / rows];
            values[i] = (float) (transposed ? expert[column][row] : expert[row][column]);
        }
        return new FloatTensor(Shape.of(EXPERTS, rows, columns), values);
    }

    private static FloatTensor tensor(double[][] matrix) {
        float[] values = new float[matrix.length * matrix[0].length];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) matrix[i / matrix[0].length][i % matrix[0].length];
        }
        return new FloatTensor(Shape.of(matrix.length, matrix[0].length), values);
    }

    private Stack stack(int out, int in) {
        return new Stack(Stream.generate(() -> matrix(out, in)).limit(EXPERTS).toArray(double[][][]::new));
    }

    private static Stack copy(Stack stack) {
        return new Stack(Stream.of(stack.experts())
                .map(expert -> Stream.of(expert).map(double[]::clone).toArray(double[][]::new))
                .toArray(double[][][]::new));
    }

    /** Values that float32 holds. */
    private double[][] matrix(int rows, int columns) {
        double[][] matrix = new double[rows][columns];
        for (double[] row : matrix) {
            for (int i = 0; i < columns; i++) {
                row[i] = (float) (random.nextGaussian() / 8);
            }
        }
        return matrix;
    }
}
