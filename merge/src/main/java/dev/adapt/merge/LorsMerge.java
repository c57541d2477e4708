package dev.adapt.merge;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.architecture.query.QueryDecoder;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.io.OutputFolder;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsHeader;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.safetensors.TensorSpec;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.ValueCount;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;

/**
 * A decoder with LORS written as the plain decoder that computes the same: {@link QueryDecoder#fold} of every stage.
 *
 * @param before its parameters with LORS
 * @param after those of the plain decoder
 */
public record LorsMerge(long before, long after) {
    /** Whether a folder holds a decoder of queries, with LORS or plain. */
    public static boolean isDecoder(Path folder) throws IOException {
        Path config = folder.resolve(ModelConfig.FILE);
        return Files.exists(config)
                && ModelConfig.read(config)
                        .document()
                        .string("model_type")
                        .filter(QueryDecoder.TYPE::equals)
                        .isPresent();
    }

    /**
     * Writes the plain decoder's folder: tensors that are not LORS's as they are, the others computed in float64 and rounded
     * once, to float32.
     *
     * @param out must not exist, or be an empty folder
     * @throws FormatException if the checkpoint is no decoder with LORS, or lacks a tensor
     */
    public static LorsMerge run(Path decoder, Path out) throws IOException {
        return run(decoder, out, Outputs.fresh());
    }

    /** The same, as one of a command's outputs. */
    public static LorsMerge run(Path decoder, Path out, Outputs outputs) throws IOException {
        try (Checkpoint base = Checkpoint.open(decoder)) {
            outputs.reads(List.of(decoder));
            outputs.madeFrom(base.snapshots());
            return run(base, out, outputs);
        }
    }

    private static LorsMerge run(Checkpoint base, Path out, Outputs outputs) throws IOException {
        Set<String> files = new TreeSet<>(base.companionNames());
        files.addAll(List.of(Checkpoint.SINGLE, ModelConfig.FILE));
        try (OutputFolder pending = outputs.folder(out, files)) {
            ModelConfig config = ModelConfig.of(base);
            QueryDecoder shared = requireLors(config);
            Model model = Model.of(base);
            ModelConfig plain = QueryDecoder.plain(config);
            Set<String> replaced = shared.requiredTensors().keySet();
            Map<String, Shape> required = Architectures.of(plain).requiredTensors();
            List<TensorSpec> specs = new ArrayList<>();
            required.forEach((name, shape) -> specs.add(spec(base, name, shape)));
            base.tensors().values().stream()
                    .filter(tensor -> !replaced.contains(tensor.name()) && !required.containsKey(tensor.name()))
                    .forEach(tensor -> specs.add(spec(base, tensor.name(), tensor.shape())));
            write(pending.path().resolve(Checkpoint.SINGLE), base, model, shared, specs);
            pending.text(ModelConfig.FILE, plain.document().text());
            base.copyCompanions(pending.path());
            pending.commit();
            return new LorsMerge(elements(shared.requiredTensors()), elements(required));
        }
    }

    /**
     * The decoder of a config.
     *
     * @throws FormatException if it is another model, or shares nothing
     */
    private static QueryDecoder requireLors(ModelConfig config) {
        if (!(Architectures.of(config) instanceof QueryDecoder decoder)) {
            throw config.document().wrong("model_type", "\"" + QueryDecoder.TYPE + "\", the one kind that has LORS");
        }
        if (decoder.lors().isEmpty()) {
            throw config.document().wrong("lors", "what its stages share; without it the decoder is plain already");
        }
        return decoder;
    }

    private static TensorSpec spec(Checkpoint base, String name, Shape shape) {
        TensorView kept = base.tensors().get(name);
        return new TensorSpec(name, kept == null ? Dtype.F32 : kept.dtype(), shape);
    }

    private static void write(Path file, Checkpoint base, Model model, QueryDecoder shared, List<TensorSpec> specs)
            throws IOException {
        SafetensorsHeader header = SafetensorsHeader.of(specs, Map.of("format", "pt"));
        ReferenceOps ops = new ReferenceOps();
        try (SafetensorsWriter writer = SafetensorsWriter.create(file, header)) {
            // a stage at a time: in float64 all of them would be large
            for (int stage = 0; stage < shared.stages(); stage++) {
                Map<String, DoubleTensor> folded = shared.fold(ops, name -> DoubleTensor.of(model.leaf(name)), stage);
                for (TensorInfo tensor : header.tensors()) {
                    if (folded.containsKey(tensor.name()) && !base.tensors().containsKey(tensor.name())) {
                        DoubleTensor values = Objects.requireNonNull(folded.get(tensor.name()));
                        writer.write(tensor, finite(base, tensor, values).values());
                    }
                }
            }
            for (TensorInfo tensor : header.tensors()) {
                TensorView kept = base.tensors().get(tensor.name());
                if (kept != null) {
                    writer.transfer(kept.channel(), kept.position(), kept.info().bytes(), tensor.begin());
                }
            }
        }
    }

    private static FloatTensor finite(Checkpoint base, TensorInfo tensor, DoubleTensor values) {
        return ValueCount.requireFinite(base.path(), tensor.name(), new FloatTensor(values.shape(), values.toFloats()));
    }

    private static long elements(Map<String, Shape> tensors) {
        return tensors.values().stream().mapToLong(Shape::elements).sum();
    }
}
