package dev.adapt.formats.gguf.model;

import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.gguf.GgmlType;
import dev.adapt.formats.gguf.GgufHeader;
import dev.adapt.formats.gguf.GgufTensor;
import dev.adapt.formats.gguf.GgufValue;
import dev.adapt.formats.gguf.GgufWriter;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.OutputFile;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.names.TensorNames;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.TensorRange;
import dev.adapt.formats.safetensors.TensorTarget;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Predicate;
import java.util.stream.Collectors;

/**
 * A checkpoint as one GGUF file, as llama.cpp and programs that read its files load it.
 *
 * @param notes what a user should know of it, in sentences
 */
public record GgufExport(GgufHeader header, GgmlType type, List<String> notes) {
    /** Our own key: the checkpoint's config.json. */
    static final String CONFIG_KEY = "adapt.config";

    /** Tensors that llama.cpp keeps in float32, beside vectors and the weights of norms. */
    private static final List<String> WIDE =
            List.of("position_embd.weight", "token_types.weight", "ffn_gate_inp.weight", "_exps.bias", "_norm.weight");

    /**
     * What is written.
     *
     * @param type of matrices; empty: that of the checkpoint's first
     * @param preTokenizer llama.cpp's name of the pre-tokenizer; empty: detected from tokenizer.json
     * @param name {@code general.name}; empty: from config.json or the folder
     */
    public record Options(Optional<GgmlType> type, Optional<String> preTokenizer, Optional<String> name) {}

    /** llama.cpp's number for files of mostly one type. */
    static int fileType(GgmlType type) {
        return switch (type) {
            case F32 -> 0;
            case F16 -> 1;
            case Q8_0 -> 7;
            case BF16 -> 32;
            default -> throw new IllegalArgumentException(type + " is not written");
        };
    }

    /** Matrices of a checkpoint that are computed while it is written. */
    public interface Changes {
        /** The elements that change. */
        List<TensorRange> changed();

        /** Computes them, in whole rows of the stored matrices. */
        void write(TensorTarget target) throws IOException;

        /** The config.json of the changed checkpoint, whose architecture is the same. */
        default JsonDocument config(JsonDocument base) {
            return base;
        }
    }

    /** No changes. */
    private static final Changes NONE = new Changes() {
        @Override
        public List<TensorRange> changed() {
            return List.of();
        }

        @Override
        public void write(TensorTarget target) {}
    };

    /**
     * Writes a checkpoint. Memory does not depend on its size.
     *
     * @param out the file to write
     * @param outputs what may be written
     * @throws dev.adapt.formats.FormatException if llama.cpp cannot compute what the checkpoint holds
     */
    public static GgufExport run(Checkpoint checkpoint, Options options, Path out, Outputs outputs) throws IOException {
        return run(checkpoint, options, out, outputs, NONE);
    }

    /**
     * Writes a checkpoint with changed weights. What changes is not read from the checkpoint here.
     *
     * @param out the file to write
     * @param outputs what may be written
     * @param changes which weights change, and to what
     * @throws dev.adapt.formats.FormatException if llama.cpp cannot compute what the checkpoint holds
     */
    public static GgufExport run(Checkpoint checkpoint, Options options, Path out, Outputs outputs, Changes changes)
            throws IOException {
        JsonDocument config = changes.config(checkpoint.requireConfig());
        TensorNames names = TensorNames.of(checkpoint);
        GgufArchitecture architecture = GgufArchitecture.of(config);
        GgufConfig hyperparameters = GgufConfig.of(architecture, config, names);
        GgufTensors tensors = GgufTensors.of(checkpoint, names, architecture, hyperparameters);
        GgufRope rope = GgufRope.of(architecture, hyperparameters);
        SequencedMap<String, GgufTensors.Planned> planned = new LinkedHashMap<>();
        rope.tensors()
                .forEach((name, row) ->
                        planned.put(name, new GgufTensors.Planned(Shape.of(row.columns()), List.of(row))));
        planned.putAll(tensors.planned());
        int rows = Math.toIntExact(Objects.requireNonNull(tensors.planned().get("token_embd.weight"))
                .shape()
                .dim(0));
        Path folder = Files.isDirectory(checkpoint.path())
                ? checkpoint.path()
                : checkpoint.path().toAbsolutePath().getParent();
        GgufVocabulary vocabulary = GgufVocabulary.of(
                folder == null ? Path.of("") : folder, hyperparameters.document(), rows, options.preTokenizer());
        GgmlType type = options.type().orElseGet(() -> typeOf(checkpoint));

        SequencedMap<String, GgufValue> metadata = new LinkedHashMap<>();
        metadata.put("general.architecture", GgufValue.text(architecture.name()));
        metadata.put("general.type", GgufValue.text("model"));
        options.name()
                .or(() -> Optional.of(name(config, checkpoint.path())))
                .filter(own -> nameIsSafe(own, vocabulary))
                .ifPresent(own -> metadata.put("general.name", GgufValue.text(own)));
        metadata.put("general.file_type", GgufValue.u32(fileType(type)));
        metadata.put("general.quantization_version", GgufValue.u32(2));
        // readers take what they know; with it, the checkpoint can be made again
        metadata.put(CONFIG_KEY, GgufValue.text(config.json().toString()));
        String prefix = architecture.name() + ".";
        metadata.put(prefix + "vocab_size", GgufValue.u32(rows));
        hyperparameters.values().forEach((key, value) -> metadata.put(prefix + key, value));
        rope.values().forEach((key, value) -> metadata.put(prefix + key, value));
        if (architecture.encoder()) {
            metadata.put(prefix + "attention.causal", GgufValue.flag(false));
            pooling(checkpoint.path()).ifPresent(pooling -> metadata.put(prefix + "pooling_type", pooling));
            metadata.put(
                    "tokenizer.ggml.token_type_count",
                    GgufValue.u32(hyperparameters.document().integer("type_vocab_size", 1, 1, 1000)));
        }
        metadata.putAll(vocabulary.values());

        List<GgufHeader.Spec> specs = new ArrayList<>();
        planned.forEach((name, each) -> specs.add(new GgufHeader.Spec(name, typeOf(name, each, type), each.shape())));
        GgufHeader header = GgufHeader.of(metadata, specs);
        write(header, planned, out, outputs, changes);
        checkpoint.requireUnchanged();
        List<String> notes = new ArrayList<>(hyperparameters.notes());
        notes.addAll(rope.notes());
        notes.addAll(vocabulary.notes());
        if (!tensors.skipped().isEmpty()) {
            notes.add("left out, since llama.cpp computes " + architecture.name() + " without them: "
                    + String.join(", ", tensors.skipped().stream().limit(8).toList())
                    + (tensors.skipped().size() > 8
                            ? " and " + (tensors.skipped().size() - 8) + " more"
                            : ""));
        }
        return new GgufExport(header, type, notes);
    }

    static void write(GgufHeader header, Map<String, GgufTensors.Planned> planned, Path out, Outputs outputs)
            throws IOException {
        write(header, planned, out, outputs, NONE);
    }

    private static void write(
            GgufHeader header, Map<String, GgufTensors.Planned> planned, Path out, Outputs outputs, Changes changes)
            throws IOException {
        Map<String, List<TensorRange>> changed =
                changes.changed().stream().collect(Collectors.groupingBy(TensorRange::tensor));
        try (OutputFile pending = outputs.file(out)) {
            try (GgufWriter writer = GgufWriter.create(pending.path(), header)) {
                writeAll(writer, out, header, planned, source -> isWithin(source, changed));
                // after the rest: of a source that changes in part, the rest has been written with it
                changes.write(new GgufScatter(writer, header, planned));
            }
            pending.commit();
        }
    }

    /** Whether all of a source changes. */
    private static boolean isWithin(GgufSource source, Map<String, List<TensorRange>> changed) {
        return source instanceof GgufSource.Stored stored
                && changed.getOrDefault(stored.tensor().name(), List.of()).stream()
                        .anyMatch(range -> range.contains(stored.start(), stored.last()));
    }

    /** One tensor a thread, so that memory is that of some blocks. */
    private static void writeAll(
            GgufWriter writer,
            Path out,
            GgufHeader header,
            Map<String, GgufTensors.Planned> planned,
            Predicate<GgufSource> changed)
            throws IOException {
        ExecutorService threads =
                Executors.newFixedThreadPool(Runtime.getRuntime().availableProcessors());
        try {
            List<Future<Void>> tasks = new ArrayList<>();
            for (GgufTensor tensor : header.tensors()) {
                List<GgufSource> sources =
                        Objects.requireNonNull(planned.get(tensor.name())).sources();
                Callable<Void> task = () -> {
                    GgufTransfer.write(writer, out, tensor, sources, changed);
                    return null;
                };
                tasks.add(threads.submit(task));
            }
            for (Future<Void> task : tasks) {
                task.get();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("stopped while it was written");
        } catch (ExecutionException e) {
            switch (e.getCause()) {
                case IOException io -> throw io;
                case RuntimeException runtime -> throw runtime;
                case Error error -> throw error;
                case null, default -> throw new IllegalStateException(e);
            }
        } finally {
            threads.shutdownNow();
            threads.close();
        }
    }

    /** The type of a tensor: float32 for what is small, float16 where rows are no whole blocks. */
    private static GgmlType typeOf(String name, GgufTensors.Planned planned, GgmlType wanted) {
        if (planned.shape().rank() < 2 || WIDE.stream().anyMatch(name::endsWith)) {
            return GgmlType.F32;
        }
        boolean whole = GgufHeader.columns(planned.shape()) % wanted.blockElements() == 0;
        return whole ? wanted : GgmlType.F16;
    }

    /** The type of a checkpoint's first matrix; float32 where GGUF has none like it. */
    private static GgmlType typeOf(Checkpoint checkpoint) {
        Dtype dtype = checkpoint.tensors().values().stream()
                .filter(tensor -> tensor.shape().rank() >= 2)
                .findFirst()
                .map(TensorView::dtype)
                .orElse(Dtype.F32);
        return switch (dtype) {
            case F16 -> GgmlType.F16;
            case BF16 -> GgmlType.BF16;
            default -> GgmlType.F32;
        };
    }

    /** llama.cpp ends at a model called phi3 whose vocabulary lacks one of Phi 3's special tokens. */
    private static boolean nameIsSafe(String name, GgufVocabulary vocabulary) {
        String lower = name.toLowerCase(Locale.ROOT);
        return !(lower.contains("phi3") || lower.contains("phi-3"))
                || vocabulary.has(List.of("<unk>", "<s>", "</s>", "<|endoftext|>"));
    }

    static String name(JsonDocument config, Path path) {
        String own = config.string("_name_or_path")
                .filter(text -> !text.isBlank())
                .orElseGet(
                        () -> String.valueOf(path.toAbsolutePath().normalize().getFileName()));
        return own.substring(own.lastIndexOf('/') + 1);
    }

    /** How sentence-transformers makes one vector of a text: 1 mean, 2 the first token, 3 the last. */
    private static Optional<GgufValue> pooling(Path folder) throws IOException {
        Path file = folder.resolve("1_Pooling").resolve("config.json");
        if (!Files.isRegularFile(file)) {
            return Optional.empty();
        }
        JsonDocument config = JsonDocument.read(file);
        if (config.flag("pooling_mode_mean_tokens", false)) {
            return Optional.of(GgufValue.u32(1));
        }
        if (config.flag("pooling_mode_cls_token", false)) {
            return Optional.of(GgufValue.u32(2));
        }
        return config.flag("pooling_mode_lasttoken", false) ? Optional.of(GgufValue.u32(3)) : Optional.empty();
    }
}
