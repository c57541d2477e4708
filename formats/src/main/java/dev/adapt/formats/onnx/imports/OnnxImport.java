package dev.adapt.formats.onnx.imports;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.Limit;
import dev.adapt.formats.io.OutputFolder;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.onnx.OnnxFile;
import dev.adapt.formats.onnx.OnnxNodes;
import dev.adapt.formats.onnx.OnnxTensor;
import dev.adapt.formats.safetensors.SafetensorsHeader;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.safetensors.TensorSpec;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.TreeSet;

/**
 * Turns an exported model back into a Hugging Face checkpoint folder. So far: BERT, as PyTorch's exporters write it.
 *
 * @param config what the graph told
 * @param tensors how many were written
 * @param bytes of their file
 */
public record OnnxImport(ModelConfig config, int tensors, long bytes) {
    /** Bytes of a matrix that are turned at once. */
    private static final long BLOCK = 1 << 24;

    private static final String TOKENIZER = "tokenizer.json";
    private static final String WORDS = "embeddings.word_embeddings.weight";
    private static final Set<String> OPTIONAL =
            Set.of("pooler.dense.weight", "pooler.dense.bias", Head.MODULE + ".weight", Head.MODULE + ".bias");

    /**
     * Imports a model. Its weights are copied from the mapped file, one after the other; those that exporters transpose
     * are turned back.
     *
     * @param tokenizer a tokenizer.json to go with it
     * @param out the folder to make; it must not exist, or be empty
     * @throws FormatException if the file is broken, is no BERT, or has a tensor that cannot be named
     */
    public static OnnxImport run(Path model, Optional<Path> tokenizer, Path out) throws IOException {
        return run(model, tokenizer, out, Outputs.fresh());
    }

    /** The same, as one of a command's outputs. */
    public static OnnxImport run(Path model, Optional<Path> tokenizer, Path out, Outputs outputs) throws IOException {
        if (tokenizer.isPresent()) {
            JsonDocument.read(InputFile.named(tokenizer.get()), Limit.TOKENIZER);
        }
        try (OnnxFile file = OnnxFile.open(model);
                OutputFolder folder = outputs.folder(out, Set.of(ModelConfig.FILE, Checkpoint.SINGLE, TOKENIZER))) {
            try {
                return run(file, tokenizer, folder, outputs);
            } catch (InternalError e) {
                throw InputFile.explain(e, file.snapshots());
            }
        }
    }

    private static OnnxImport run(OnnxFile file, Optional<Path> tokenizer, OutputFolder folder, Outputs outputs)
            throws IOException {
        Path model = file.path();
        OnnxNodes nodes = OnnxNodes.of(file);
        OnnxBert.requirePlain(model, nodes);
        SequencedMap<String, OnnxParameters.Found> parameters = canonical(model, OnnxParameters.of(model, nodes));
        ModelConfig config = new ModelConfig(new JsonDocument(model, new OnnxBert(model, nodes, parameters).config()));
        Architecture architecture = Architectures.of(config);
        requireTensors(model, architecture, parameters.keySet());
        requireShapes(model, architecture, parameters);
        folder.text(ModelConfig.FILE, config.document().text());
        SafetensorsHeader header = write(folder.path().resolve(Checkpoint.SINGLE), named(architecture, parameters));
        if (tokenizer.isPresent()) {
            InputFile.named(tokenizer.get()).copyTo(folder.path().resolve(TOKENIZER));
        }
        outputs.madeFrom(file.snapshots());
        folder.commit();
        return new OnnxImport(config, parameters.size(), header.fileBytes());
    }

    /** Without what the exported module's wrappers put before all names alike: "bert.", "0.auto_model.". */
    private static SequencedMap<String, OnnxParameters.Found> canonical(
            Path model, SequencedMap<String, OnnxParameters.Found> parameters) {
        String prefix = parameters.keySet().stream()
                .filter(name -> name.endsWith(WORDS))
                .map(name -> name.substring(0, name.length() - WORDS.length()))
                .findFirst()
                .orElse("");
        SequencedMap<String, OnnxParameters.Found> canonical = new LinkedHashMap<>();
        parameters.forEach((name, found) -> {
            String bare = name.startsWith(prefix) ? name.substring(prefix.length()) : name;
            if (canonical.put(bare, found) != null) {
                throw new FormatException(model, name, "is there twice, with and without \"" + prefix + "\" before it");
            }
        });
        return canonical;
    }

    /** As transformers' class of the config names them: a classifier stands beside the body, "bert". */
    private static SequencedMap<String, OnnxParameters.Found> named(
            Architecture architecture, SequencedMap<String, OnnxParameters.Found> canonical) {
        boolean headed = architecture.head().isPresent();
        SequencedMap<String, OnnxParameters.Found> named = new LinkedHashMap<>();
        canonical.forEach((name, found) -> {
            boolean inBody = headed && !name.startsWith(Head.MODULE + ".");
            named.put(inBody ? "bert." + name : name, found);
        });
        return named;
    }

    /** All tensors that the architecture needs, and none that it does not know. */
    private static void requireTensors(Path model, Architecture architecture, Set<String> found) {
        Set<String> missing = new TreeSet<>(architecture.requiredTensors().keySet());
        missing.removeAll(found);
        Set<String> unknown = new TreeSet<>(found);
        unknown.removeAll(architecture.requiredTensors().keySet());
        unknown.removeAll(OPTIONAL);
        if (!missing.isEmpty() || !unknown.isEmpty()) {
            throw new FormatException(
                    model,
                    "is not a plain BERT"
                            + (missing.isEmpty() ? "" : ": it lacks " + String.join(", ", missing))
                            + (unknown.isEmpty() ? "" : ": BERT has no " + String.join(", ", unknown)));
        }
    }

    private static void requireShapes(Path model, Architecture architecture, Map<String, OnnxParameters.Found> found) {
        Map<String, Shape> expected = new LinkedHashMap<>(architecture.requiredTensors());
        architecture.pooler().forEach(expected::putIfAbsent);
        expected.forEach((name, shape) -> {
            OnnxParameters.Found own = found.get(name);
            if (own != null && !own.shape().equals(shape)) {
                throw new FormatException(
                        model, own.tensor().name(), "has shape " + own.shape() + " as " + name + ", expected " + shape);
            }
        });
    }

    private static SafetensorsHeader write(Path path, SequencedMap<String, OnnxParameters.Found> tensors)
            throws IOException {
        List<TensorSpec> specs = new ArrayList<>();
        tensors.forEach(
                (name, found) -> specs.add(new TensorSpec(name, found.tensor().dtype(), found.shape())));
        // transformers loads no file without this entry
        SafetensorsHeader header = SafetensorsHeader.of(specs, Map.of("format", "pt"));
        try (SafetensorsWriter writer = SafetensorsWriter.create(path, header)) {
            for (TensorInfo info : header.tensors()) {
                OnnxParameters.Found found = Objects.requireNonNull(tensors.get(info.name()));
                if (found.transposed()) {
                    writeTransposed(writer, info, found.tensor());
                } else {
                    writer.write(info, 0, found.tensor().data());
                }
            }
        }
        return header;
    }

    /** Some rows of the result at a time: a whole matrix may not fit into memory. */
    private static void writeTransposed(SafetensorsWriter writer, TensorInfo info, OnnxTensor tensor)
            throws IOException {
        long rows = info.shape().dim(0);
        long rowBytes = info.shape().dim(1) * (tensor.dtype().bits() / 8);
        long step = Math.max(1, BLOCK / Math.max(1, rowBytes));
        for (long from = 0; from < rows; from += step) {
            try (Arena arena = Arena.ofConfined()) {
                long to = Math.min(rows, from + step);
                writer.write(info, from * rowBytes, tensor.transposed(arena, from, to));
            }
        }
    }
}
