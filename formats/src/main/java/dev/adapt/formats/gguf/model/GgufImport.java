package dev.adapt.formats.gguf.model;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.DeclaredSizes;
import dev.adapt.formats.gguf.GgufFile;
import dev.adapt.formats.gguf.GgufHeader;
import dev.adapt.formats.gguf.GgufTensor;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.OutputFolder;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsHeader;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.safetensors.TensorSpec;
import dev.adapt.formats.tensor.FloatFormat;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * A GGUF file of a model as a checkpoint folder. Tensors of F32, F16 and BF16 keep their values; those of Q8_0 become F32. One
 * matrix is in memory at a time.
 *
 * @param modelType of the checkpoint
 * @param tensors how many were written
 * @param bytes of their file
 */
public record GgufImport(String modelType, int tensors, long bytes) {
    /** Where the values of a checkpoint's tensor come from. */
    private sealed interface Origin {
        GgufTensor tensor();

        Shape shape();

        Dtype dtype();
    }

    /** A whole tensor of the file, or one expert of a stack. */
    private record Matrix(GgufTensor tensor, long start, Shape shape, Dtype dtype, String canonical)
            implements Origin {}

    /** All experts of a layer. */
    private record Experts(InterleavedStack stack, Dtype dtype) implements Origin {
        @Override
        public GgufTensor tensor() {
            return stack.parts().getFirst();
        }

        @Override
        public Shape shape() {
            return stack.shape();
        }
    }

    static final List<String> NO_WEIGHTS =
            List.of("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight");

    /**
     * Imports a model.
     *
     * @param out the folder to make
     * @param outputs what may be written
     * @throws FormatException if the file is broken, of an architecture that is not known, or holds other types
     */
    public static GgufImport run(Path model, Path out, Outputs outputs) throws IOException {
        try (GgufFile file = GgufFile.open(model);
                OutputFolder folder = outputs.folder(out, Set.of(Checkpoint.CONFIG, Checkpoint.SINGLE))) {
            GgufImport imported = new Reader(file).write(folder.path());
            folder.commit();
            return imported;
        }
    }

    /** Imports a model into an existing folder. */
    public static GgufImport into(Path model, Path folder) throws IOException {
        try (GgufFile file = GgufFile.open(model)) {
            return new Reader(file).write(folder);
        }
    }

    /** One import. */
    private static final class Reader {
        private final GgufFile file;
        private final GgufHeader header;
        private final GgufArchitecture architecture;
        private final GgufMetadata metadata;
        private final JsonDocument config;
        private final Dtype narrow;

        Reader(GgufFile file) throws IOException {
            this.file = file;
            this.header = file.header();
            this.architecture = architecture();
            this.metadata = new GgufMetadata(file, header, architecture);
            this.config = header.text(GgufExport.CONFIG_KEY).isPresent() ? recorded() : metadata.config();
            this.narrow = narrow();
        }

        private GgufArchitecture architecture() {
            if (header.text("general.type")
                    .filter(type -> !type.equals("model"))
                    .isPresent()) {
                throw new FormatException(
                        file.path(),
                        "general.type",
                        "is " + header.text("general.type").get() + ", expected a model");
            }
            String name = header.text("general.architecture").orElse("");
            boolean experts = header.metadata().containsKey(name + ".expert_count");
            return GgufArchitecture.named(name).stream()
                    .filter(each -> (each.experts() != GgufArchitecture.Experts.ABSENT) == experts)
                    .findFirst()
                    .orElseThrow(() -> new FormatException(
                            file.path(), "general.architecture", "is " + name + ", which cannot be read back"));
        }

        private JsonDocument recorded() {
            String text = header.text(GgufExport.CONFIG_KEY).orElseThrow();
            JsonDocument document = JsonDocument.parse(file.path(), text.getBytes(StandardCharsets.UTF_8));
            if (!GgufArchitecture.of(document).name().equals(architecture.name())) {
                throw new FormatException(
                        file.path(), GgufExport.CONFIG_KEY, "is the config.json of another architecture");
            }
            return document;
        }

        /** The type that vectors had where they were widened for llama.cpp: that of the matrices. */
        private Dtype narrow() {
            return switch (metadata.table().type()) {
                case F16 -> Dtype.F16;
                case BF16 -> Dtype.BF16;
                default -> Dtype.F32;
            };
        }

        GgufImport write(Path folder) throws IOException {
            Map<String, Origin> origins = new LinkedHashMap<>();
            for (GgufTensor tensor : header.tensors()) {
                if (!NO_WEIGHTS.contains(tensor.name())) {
                    add(tensor, origins);
                }
            }
            boolean tied = config.json()
                    .path("tie_word_embeddings")
                    .asBoolean(file.find("output.weight").isEmpty());
            if (tied) {
                origins.remove(architecture.hubName("lm_head.weight"));
            }
            List<TensorSpec> specs = new ArrayList<>();
            origins.forEach((name, origin) -> specs.add(new TensorSpec(name, origin.dtype(), origin.shape())));
            DeclaredSizes.check(
                    config,
                    specs.size(),
                    specs.stream().mapToLong(spec -> spec.shape().elements()).sum());
            SafetensorsHeader written = SafetensorsHeader.of(specs, Map.of("format", "pt"));
            Files.writeString(folder.resolve(Checkpoint.CONFIG), config.text());
            try (SafetensorsWriter writer = SafetensorsWriter.create(folder.resolve(Checkpoint.SINGLE), written)) {
                for (TensorInfo info : written.tensors()) {
                    switch (Optional.ofNullable(origins.get(info.name())).orElseThrow()) {
                        case Matrix matrix -> copy(matrix, info, writer);
                        case Experts experts -> experts.stack().copy(file, info, writer);
                    }
                }
            }
            return new GgufImport(config.string("model_type").orElse(""), origins.size(), written.fileBytes());
        }

        private void add(GgufTensor tensor, Map<String, Origin> origins) throws IOException {
            String name = tensor.name();
            if (architecture.experts() == GgufArchitecture.Experts.INTERLEAVED && name.contains("_exps.")) {
                addStack(tensor, origins);
                return;
            }
            int experts = name.indexOf("_exps.weight");
            if (experts >= 0 && tensor.shape().rank() == 3) {
                String layer = name.substring("blk.".length(), name.indexOf('.', "blk.".length()));
                String part = name.substring(name.indexOf("ffn_") + "ffn_".length(), experts);
                Shape shape = Shape.of(tensor.shape().dim(1), tensor.shape().dim(2));
                for (long expert = 0; expert < tensor.shape().dim(0); expert++) {
                    String canonical = "layers." + layer + ".mlp.experts." + expert + "." + part + "_proj.weight";
                    put(
                            origins,
                            canonical,
                            new Matrix(tensor, expert * shape.elements(), shape, dtype(tensor, canonical), canonical));
                }
                return;
            }
            String canonical = architecture
                    .canonical(name)
                    .orElseThrow(() -> new FormatException(
                            file.path(), name, "is no tensor of " + architecture.name() + " that is known"));
            boolean turned = isTransposed(canonical, tensor);
            Shape shape =
                    turned ? Shape.of(tensor.shape().dim(1), tensor.shape().dim(0)) : tensor.shape();
            put(origins, canonical, new Matrix(tensor, 0, shape, dtype(tensor, canonical), canonical));
        }

        private void addStack(GgufTensor tensor, Map<String, Origin> origins) throws IOException {
            String[] parts = tensor.name().split("\\.", -1);
            boolean known = parts.length == 4
                    && parts[2].matches("ffn_(gate|up|down)_exps")
                    && tensor.shape().rank() == (parts[3].equals("bias") ? 2 : 3);
            if (!known) {
                throw new FormatException(file.path(), tensor.name(), "is no stack of experts that is known");
            }
            if (parts[2].equals("ffn_up_exps")) {
                return; // gate's columns are between its own
            }
            String module = "layers." + parts[1] + ".mlp.experts." + (parts[2].contains("gate") ? "gate_up" : "down")
                    + "_proj" + (parts[3].equals("bias") ? "_bias" : "");
            put(origins, module, new Experts(InterleavedStack.of(file, tensor), dtype(tensor, module)));
        }

        private void put(Map<String, Origin> origins, String canonical, Origin origin) {
            if (origins.put(architecture.hubName(canonical), origin) != null) {
                throw new FormatException(file.path(), origin.tensor().name(), "is there twice");
            }
        }

        private boolean isTransposed(String canonical, GgufTensor tensor) {
            return architecture.name().equals("gpt2")
                    && canonical.startsWith("h.")
                    && tensor.shape().rank() == 2;
        }

        private Dtype dtype(GgufTensor tensor, String canonical) throws IOException {
            return switch (tensor.type()) {
                case F16 -> Dtype.F16;
                case BF16 -> Dtype.BF16;
                case F32 -> narrow != Dtype.F32 && fits(tensor, canonical) ? narrow : Dtype.F32;
                case Q8_0 -> Dtype.F32;
                default ->
                    throw new FormatException(
                            file.path(), tensor.name(), "holds " + tensor.type() + ", expected F32, F16, BF16 or Q8_0");
            };
        }

        /** Whether a narrower type holds all values of a tensor, which is read for that. */
        private boolean fits(GgufTensor tensor, String canonical) throws IOException {
            float[] values = values(tensor, 0, elements(tensor.shape()), canonical);
            FloatFormat format = narrow.floatFormat().orElseThrow();
            MemorySegment bytes = MemorySegment.ofArray(new byte[values.length * format.bytes()]);
            float[] back = new float[values.length];
            format.encode(values, 0, values.length, bytes);
            format.decode(bytes, 0, back, back.length);
            for (int i = 0; i < back.length; i++) {
                if (Float.floatToRawIntBits(back[i]) != Float.floatToRawIntBits(values[i])) {
                    return false;
                }
            }
            return true;
        }

        private int elements(Shape shape) {
            if (shape.elements() > 1L << 30) {
                throw new FormatException(
                        file.path(), "has a matrix of " + shape + ", more than can be held in memory at once");
            }
            return (int) shape.elements();
        }

        /** Values as the checkpoint has them, rows in their old order. */
        private float[] values(GgufTensor tensor, long start, int count, String canonical) throws IOException {
            float[] values = new float[count];
            file.read(tensor, start, values, count);
            if (architecture.addsOne(canonical)) {
                for (int i = 0; i < count; i++) {
                    values[i] -= 1;
                }
            }
            return values;
        }

        private void copy(Matrix origin, TensorInfo info, SafetensorsWriter writer) throws IOException {
            int count = elements(origin.shape());
            float[] values = values(origin.tensor(), origin.start(), count, origin.canonical());
            double gain = queryGain(origin.canonical());
            // a norm was stored as (1 + w)·gain, a matrix as w·gain
            boolean norm = architecture.addsOne(origin.canonical());
            for (int i = 0; i < count && gain != 1; i++) {
                values[i] = (float) (norm ? (values[i] + 1) / gain - 1 : values[i] / gain);
            }
            if (architecture.permutes(origin.canonical())) {
                values = unpermuted(values, origin);
            }
            if (isTransposed(origin.canonical(), origin.tensor())) {
                values = transposed(values, origin.tensor().shape());
            }
            writer.write(info, values);
        }

        private double queryGain(String canonical) {
            if (!architecture.scalesQuery(canonical)) {
                return 1;
            }
            return GgufConfig.queryGain(architecture, GgufConfig.text(config), metadata.assumedScalar());
        }

        private float[] unpermuted(float[] values, Matrix origin) {
            String key = origin.canonical().contains(".q_proj") ? "attention.head_count" : "attention.head_count_kv";
            long heads = metadata.number(key)
                    .or(() -> metadata.number("attention.head_count"))
                    .orElse(1)
                    .longValue();
            long rows = origin.shape().dim(0);
            if (heads < 1 || rows % (2 * heads) != 0) {
                throw new FormatException(
                        file.path(),
                        origin.tensor().name(),
                        "has " + rows + " rows, which are not those of " + heads + " heads");
            }
            int columns = values.length / (int) rows;
            float[] out = new float[values.length];
            for (int row = 0; row < rows; row++) {
                int to = (int) GgufSource.source(row, rows / heads) * columns;
                System.arraycopy(values, row * columns, out, to, columns);
            }
            return out;
        }

        private static float[] transposed(float[] values, Shape shape) {
            int rows = (int) shape.dim(0);
            int columns = (int) shape.dim(1);
            float[] out = new float[values.length];
            for (int r = 0; r < rows; r++) {
                for (int c = 0; c < columns; c++) {
                    out[c * rows + r] = values[r * columns + c];
                }
            }
            return out;
        }
    }
}
