package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Adapters in one file, as programs that make images keep them, merged into a base with the names of diffusers. What is
 * expected is computed here, in float64 and element by element, from the formulas of sd-scripts and LyCORIS.
 */
@DisplayName("Adapters in one file: kohya, LyCORIS, diffusers, ComfyUI")
class SingleFileTest {
    private static final double TOLERANCE = 1e-6;
    private static final String QUERY = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q";
    private static final String OUT = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0";
    private static final String CONV = "down_blocks.0.resnets.0.conv1";
    private static final String POINT = "down_blocks.0.resnets.0.conv_shortcut";
    private static final String WEIGHTS = "diffusion_pytorch_model.safetensors";

    @TempDir
    private Path folder;

    private final Random random = new Random(16);
    private final Map<String, FloatTensor> base = new LinkedHashMap<>();
    private final Map<String, FloatTensor> file = new LinkedHashMap<>();
    private final Map<String, double[]> expected = new LinkedHashMap<>();

    @BeforeEach
    void writeBase() throws IOException {
        base.put(QUERY + ".weight", drawn(6, 8));
        base.put(OUT + ".weight", drawn(8, 6));
        base.put(OUT + ".bias", drawn(8));
        base.put(CONV + ".weight", drawn(6, 4, 3, 3));
        base.put(POINT + ".weight", drawn(6, 4, 1, 1));
        Path unet = Files.createDirectory(folder.resolve("unet"));
        Files.writeString(unet.resolve("config.json"), "{\"_class_name\": \"UNet2DConditionModel\"}");
        SafetensorsWriter.write(unet.resolve(WEIGHTS), base, Map.of());
        base.forEach((name, tensor) -> expected.put(name, widened(tensor)));
    }

    private FloatTensor drawn(long... dims) {
        Shape shape = Shape.of(dims);
        float[] values = new float[Math.toIntExact(shape.elements())];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian() / 2;
        }
        return new FloatTensor(shape, values);
    }

    private static double[] widened(FloatTensor tensor) {
        double[] wide = new double[tensor.values().length];
        for (int i = 0; i < wide.length; i++) {
            wide[i] = tensor.values()[i];
        }
        return wide;
    }

    private static FloatTensor number(double value) {
        return new FloatTensor(Shape.of(), new float[] {(float) value});
    }

    private FloatTensor put(String name, long... dims) {
        FloatTensor tensor = drawn(dims);
        file.put(name, tensor);
        return tensor;
    }

    /** Adds {@code scale·Σ left[o, k]·right[k, …]} to what is expected of a weight [out, …]. */
    private void add(String module, FloatTensor left, double[] right, int rank, double scale) {
        double[] weight = Objects.requireNonNull(expected.get(module + ".weight"));
        int width = right.length / rank;
        for (int i = 0; i < weight.length; i++) {
            for (int k = 0; k < rank; k++) {
                weight[i] += scale * left.values()[i / width * rank + k] * right[k * width + i % width];
            }
        }
    }

    private void lora(String module, String down, String up, int rank, double scale) {
        Shape shape = Objects.requireNonNull(base.get(module + ".weight")).shape();
        FloatTensor a = put(down, shape.with(0, rank).toArray());
        long[] dims = shape.toArray();
        long[] point = dims.length == 2 ? new long[] {dims[0], rank} : new long[] {dims[0], rank, 1, 1};
        add(module, put(up, point), widened(a), rank, scale);
    }

    private void assertMerges(Path adapter, Object... options) throws IOException {
        Path out = folder.resolve("merged-" + adapter.getFileName());
        Object[] words = {"merge", adapter, "--into", folder.resolve("unet"), "--out", out, "--no-fsync"};
        Cli.succeeds(Stream.concat(Stream.of(words), Stream.of(options)).toArray());
        assertTrue(Files.exists(out.resolve(WEIGHTS)));
        try (Checkpoint merged = Checkpoint.open(out)) {
            for (TensorView tensor : merged.tensors().values()) {
                double[] wanted = Objects.requireNonNull(expected.get(tensor.name()));
                float[] found = tensor.toFloats();
                for (int i = 0; i < found.length; i++) {
                    assertEquals(wanted[i], found[i], TOLERANCE, tensor.name() + " " + i);
                }
            }
        }
    }

    private Path written(String name) throws IOException {
        return written(name, Map.of());
    }

    private Path written(String name, Map<String, String> metadata) throws IOException {
        Path path = folder.resolve(name + ".safetensors");
        SafetensorsWriter.write(path, file, metadata);
        return path;
    }

    private static void fails(int exitCode, String sentence, Object... args) {
        Cli result = Cli.run(args);
        assertEquals(exitCode, result.exitCode(), result.errors());
        assertTrue(result.errors().contains(sentence), result.errors());
    }

    private static String kohya(String module) {
        return "lora_unet_" + module.replace('.', '_');
    }

    @Test
    @DisplayName("kohya's LoRA on linear layers and on convolutions of 1×1 and 3×3")
    void kohyaLora() throws IOException {
        for (String module : List.of(QUERY, OUT, CONV, POINT)) {
            String name = kohya(module);
            lora(module, name + ".lora_down.weight", name + ".lora_up.weight", 2, 3.0 / 2);
            file.put(name + ".alpha", number(3));
        }
        Path path = written("kohya");
        assertMerges(path);
        // by way of PEFT's folder, and back
        Path peft = folder.resolve("peft");
        Path again = folder.resolve("again.safetensors");
        Cli.succeeds("convert", path, "--base", folder.resolve("unet"), "--out", peft);
        assertMerges(peft);
        Cli.succeeds("convert", peft, "--base", folder.resolve("unet"), "--to", "kohya", "--out", again);
        assertMerges(again);
    }

    @Test
    @DisplayName("LyCORIS's Tucker form of LoRA, lora_mid")
    void mid() throws IOException {
        String name = kohya(CONV);
        FloatTensor down = put(name + ".lora_down.weight", 2, 4, 1, 1);
        FloatTensor mid = put(name + ".lora_mid.weight", 2, 2, 3, 3);
        FloatTensor up = put(name + ".lora_up.weight", 6, 2, 1, 1);
        file.put(name + ".alpha", number(1));
        double[] right = new double[2 * 4 * 9];
        for (int p = 0; p < 2; p++) {
            for (int q = 0; q < 2; q++) {
                for (int i = 0; i < 36; i++) {
                    right[p * 36 + i] += (double) mid.values()[(p * 2 + q) * 9 + i % 9] * down.values()[q * 4 + i / 9];
                }
            }
        }
        add(CONV, up, right, 2, 0.5);
        assertMerges(written("mid"));
    }

    @Test
    @DisplayName("dora_scale: the norms of the rows of the changed weight")
    void dora() throws IOException {
        for (String module : List.of(QUERY, CONV)) {
            String name = kohya(module);
            lora(module, name + ".lora_down.weight", name + ".lora_up.weight", 2, 1);
            boolean kernel = module.equals(CONV);
            FloatTensor scale = kernel ? put(name + ".dora_scale", 6, 1, 1, 1) : put(name + ".dora_scale", 6, 1);
            double[] weight = Objects.requireNonNull(expected.get(module + ".weight"));
            int width = weight.length / 6;
            for (int row = 0; row < 6; row++) {
                double squares = 0;
                for (int i = row * width; i < (row + 1) * width; i++) {
                    squares += weight[i] * weight[i];
                }
                for (int i = row * width; i < (row + 1) * width; i++) {
                    weight[i] *= scale.values()[row] / Math.sqrt(squares);
                }
            }
        }
        Path path = written("dora");
        assertMerges(path);
        Path peft = folder.resolve("peft");
        Path again = folder.resolve("again.safetensors");
        Cli.succeeds("convert", path, "--base", folder.resolve("unet"), "--out", peft);
        Cli.succeeds("convert", peft, "--base", folder.resolve("unet"), "--to", "kohya", "--out", again);
        assertMerges(again);

        file.put(kohya(QUERY) + ".dora_scale", drawn(1, 6));
        fails(
                3,
                "the norm of each output's weights",
                "merge",
                written("inputs"),
                "--into",
                folder.resolve("unet"),
                "--out",
                folder.resolve("never"));
    }

    /** {@code Σ a[o, k]·b[k, i]} at an element. */
    private static double product(FloatTensor a, FloatTensor b, int rank, int width, int row, int column) {
        double sum = 0;
        for (int k = 0; k < rank; k++) {
            sum += (double) a.values()[row * rank + k] * b.values()[k * width + column];
        }
        return sum;
    }

    @Test
    @DisplayName("LoHa on a linear layer and on a convolution, with and without Tucker's form")
    void loha() throws IOException {
        for (String module : List.of(QUERY, POINT)) {
            double[] weight = Objects.requireNonNull(expected.get(module + ".weight"));
            int width = weight.length / 6;
            String name = kohya(module);
            FloatTensor a1 = put(name + ".hada_w1_a", 6, 2);
            FloatTensor b1 = put(name + ".hada_w1_b", 2, width);
            FloatTensor a2 = put(name + ".hada_w2_a", 6, 2);
            FloatTensor b2 = put(name + ".hada_w2_b", 2, width);
            file.put(name + ".alpha", number(1));
            for (int i = 0; i < weight.length; i++) {
                weight[i] += 0.5
                        * product(a1, b1, 2, width, i / width, i % width)
                        * product(a2, b2, 2, width, i / width, i % width);
            }
        }
        Path plain = written("loha");
        assertMerges(plain);
        Path peft = folder.resolve("peft");
        Path again = folder.resolve("again.safetensors");
        Cli.succeeds("convert", plain, "--base", folder.resolve("unet"), "--out", peft);
        assertMerges(peft);
        Cli.succeeds("convert", peft, "--base", folder.resolve("unet"), "--to", "kohya", "--out", again);
        assertMerges(again);

        String name = kohya(CONV);
        FloatTensor[] t = {put(name + ".hada_t1", 2, 2, 3, 3), put(name + ".hada_t2", 2, 2, 3, 3)};
        FloatTensor[] a = {put(name + ".hada_w1_a", 2, 6), put(name + ".hada_w2_a", 2, 6)};
        FloatTensor[] b = {put(name + ".hada_w1_b", 2, 4), put(name + ".hada_w2_b", 2, 4)};
        file.put(name + ".alpha", number(4));
        double[] weight = Objects.requireNonNull(expected.get(CONV + ".weight"));
        for (int i = 0; i < weight.length; i++) {
            double both = 4.0 / 2;
            for (int which = 0; which < 2; which++) {
                double sum = 0;
                for (int p = 0; p < 2; p++) {
                    for (int q = 0; q < 2; q++) {
                        sum += (double) t[which].values()[(p * 2 + q) * 9 + i % 9]
                                * a[which].values()[p * 6 + i / 36]
                                * b[which].values()[q * 4 + i % 36 / 9];
                    }
                }
                both *= sum;
            }
            weight[i] += both;
        }
        assertMerges(written("tucker"));
    }

    /** Adds {@code scale·(c ⊗ d)}, d a kernel [b, d, size], to what is expected. */
    private void kronecker(String module, double[] c, int columns, double[] d, int rowsOfD, int size, double scale) {
        double[] weight = Objects.requireNonNull(expected.get(module + ".weight"));
        int inner = d.length / rowsOfD / size;
        int width = columns * inner;
        for (int i = 0; i < weight.length; i++) {
            int out = i / (width * size);
            int in = i / size % width;
            weight[i] += scale
                    * c[out / rowsOfD * columns + in / inner]
                    * d[(out % rowsOfD * inner + in % inner) * size + i % size];
        }
    }

    private static double[] product(FloatTensor a, FloatTensor b) {
        int rows = (int) a.shape().dim(0);
        int rank = (int) a.shape().dim(1);
        int width = b.values().length / rank;
        double[] whole = new double[rows * width];
        for (int i = 0; i < whole.length; i++) {
            whole[i] = product(a, b, rank, width, i / width, i % width);
        }
        return whole;
    }

    @Test
    @DisplayName("LoKr in all its forms; alpha counts for nothing where neither factor is a product")
    void lokr() throws IOException {
        String query = kohya(QUERY);
        FloatTensor whole = put(query + ".lokr_w1", 3, 4);
        FloatTensor other = put(query + ".lokr_w2", 2, 2);
        file.put(query + ".alpha", number(7));
        kronecker(QUERY, widened(whole), 4, widened(other), 2, 1, 1);

        String out = kohya(OUT);
        FloatTensor a1 = put(out + ".lokr_w1_a", 4, 1);
        FloatTensor b1 = put(out + ".lokr_w1_b", 1, 2);
        FloatTensor a2 = put(out + ".lokr_w2_a", 2, 1);
        FloatTensor b2 = put(out + ".lokr_w2_b", 1, 3);
        file.put(out + ".alpha", number(3));
        kronecker(OUT, product(a1, b1), 2, product(a2, b2), 2, 1, 3);

        String conv = kohya(CONV);
        FloatTensor w1 = put(conv + ".lokr_w1", 2, 2);
        FloatTensor left = put(conv + ".lokr_w2_a", 3, 2);
        FloatTensor right = put(conv + ".lokr_w2_b", 2, 2, 3, 3);
        file.put(conv + ".alpha", number(1));
        kronecker(CONV, widened(w1), 2, product(left, right), 3, 9, 0.5);
        assertMerges(written("lokr"));
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource({
        "unet., .lora_A.weight, .lora_B.weight",
        "unet., .lora.down.weight, .lora.up.weight",
        "'', .lora_linear_layer.down.weight, .lora_linear_layer.up.weight",
        "diffusion_model., .lora_A.weight, .lora_B.weight",
        "diffusion_model., .lora_down.weight, .lora_up.weight",
        "transformer., .lora_A.weight, .lora_B.weight"
    })
    @DisplayName("names with dots, as diffusers and ComfyUI write them")
    void dotted(String prefix, String down, String up) throws IOException {
        for (String module : List.of(QUERY, OUT, CONV)) {
            lora(module, prefix + module + down, prefix + module + up, 2, 1);
        }
        assertMerges(written("dotted"));
    }

    @Test
    @DisplayName("diffusers' old attention processors, and alphas in its metadata")
    void diffusers() throws IOException {
        String processor = "unet." + QUERY.replace(".to_q", ".processor");
        lora(QUERY, processor + ".to_q_lora.down.weight", processor + ".to_q_lora.up.weight", 2, 1);
        lora(OUT, processor + ".to_out_lora.down.weight", processor + ".to_out_lora.up.weight", 2, 1);
        assertMerges(written("processor"));
        file.clear();
        base.forEach((name, tensor) -> expected.put(name, widened(tensor)));
        lora(QUERY, "unet." + QUERY + ".lora_A.weight", "unet." + QUERY + ".lora_B.weight", 4, 6 / Math.sqrt(4));
        String fields = "{\"unet.lora_alpha\": 6, \"unet.r\": 4, \"unet.use_rslora\": true}";
        assertMerges(written("metadata", Map.of("lora_adapter_metadata", fields)));
    }

    @Test
    @DisplayName("a file with text encoders too: --only chooses, and without it nothing is left out silently")
    void only() throws IOException {
        lora(QUERY, kohya(QUERY) + ".lora_down.weight", kohya(QUERY) + ".lora_up.weight", 2, 1);
        put("lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight", 2, 8);
        put("lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_up.weight", 6, 2);
        Path path = written("both");
        Path unet = folder.resolve("unet");
        fails(3, "they are 1 modules of te1", "merge", path, "--into", unet, "--out", folder.resolve("never"));
        fails(
                2,
                "holds nothing of te2",
                "merge",
                path,
                "--into",
                unet,
                "--out",
                folder.resolve("never"),
                "--only",
                "te2");
        assertMerges(path, "--only", "unet");
    }

    @Test
    @DisplayName("what cannot be merged is refused by name")
    void refused() throws IOException {
        Path unet = folder.resolve("unet");
        Path never = folder.resolve("never");
        String name = kohya(QUERY);
        put(name + ".lokr_w1", 3, 4);
        put(name + ".lokr_w2", 2, 2);
        put(name + ".dora_scale", 6, 1);
        fails(3, "dora_scale with another method than LoRA", "merge", written("a"), "--into", unet, "--out", never);
        file.clear();
        put(name + ".lokr_w1", 5, 4);
        put(name + ".lokr_w2", 2, 2);
        fails(3, "does not divide", "merge", written("b"), "--into", unet, "--out", never);
        file.clear();
        put(name + ".oft_blocks", 2, 3, 3);
        fails(3, "is no tensor of LoRA, LoHa or LoKr", "merge", written("c"), "--into", unet, "--out", never);
        file.clear();
        put(name + ".lora_down.weight", 2, 8);
        put(name + ".lora_up.weight", 6, 3);
        fails(3, "do not agree on a rank", "merge", written("d"), "--into", unet, "--out", never);
        file.clear();
        put("base_model.model." + QUERY + ".lora_A.weight", 2, 8);
        fails(3, "a PEFT adapter is given as its folder", "merge", written("e"), "--into", unet, "--out", never);
    }

    @Test
    @DisplayName("LoRA and LoHa in one file are merged together")
    void mixed() throws IOException {
        lora(OUT, kohya(OUT) + ".lora_down.weight", kohya(OUT) + ".lora_up.weight", 2, 1);
        String name = kohya(QUERY);
        FloatTensor a1 = put(name + ".hada_w1_a", 6, 1);
        FloatTensor b1 = put(name + ".hada_w1_b", 1, 8);
        FloatTensor a2 = put(name + ".hada_w2_a", 6, 1);
        FloatTensor b2 = put(name + ".hada_w2_b", 1, 8);
        double[] weight = Objects.requireNonNull(expected.get(QUERY + ".weight"));
        for (int i = 0; i < weight.length; i++) {
            weight[i] += product(a1, b1, 1, 8, i / 8, i % 8) * product(a2, b2, 1, 8, i / 8, i % 8);
        }
        assertMerges(written("mixed"));
    }

    @ParameterizedTest(name = "{0}")
    @ValueSource(strings = {"loha", "lokr", "lora_conv2d_vit", "dora_conv2d_vit"})
    @DisplayName("PEFT's adapters by way of kohya's keys merge to the same")
    void out(String name) throws IOException {
        Path own = StoredCases.at("methods/" + name, folder.resolve("cases"));
        Path kohya = folder.resolve(name + ".safetensors");
        Path direct = folder.resolve(name + "-direct");
        Path indirect = folder.resolve(name + "-indirect");
        Cli.succeeds("convert", own.resolve("adapter"), "--base", own.resolve("base"), "--to", "kohya", "--out", kohya);
        Cli.succeeds("merge", own.resolve("adapter"), "--into", own.resolve("base"), "--out", direct, "--no-fsync");
        Cli.succeeds("merge", kohya, "--into", own.resolve("base"), "--out", indirect, "--no-fsync");
        try (Checkpoint one = Checkpoint.open(direct);
                Checkpoint other = Checkpoint.open(indirect)) {
            for (TensorView tensor : one.tensors().values()) {
                assertArrayEquals(
                        tensor.toFloats(),
                        Objects.requireNonNull(other.tensors().get(tensor.name()))
                                .toFloats(),
                        1e-7f,
                        tensor.name());
            }
        }
    }
}
