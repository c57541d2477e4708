package dev.adapt.formats.gguf.model;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.Quantization;
import dev.adapt.formats.gguf.model.GgufArchitecture.Experts;
import dev.adapt.formats.gguf.model.GgufArchitecture.Head;
import dev.adapt.formats.gguf.model.GgufSource.Stored;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.names.Place;
import dev.adapt.formats.names.TensorNames;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;

/**
 * Where each tensor of a GGUF model comes from in a checkpoint. Every tensor of the checkpoint is mapped, skipped by name, or
 * refused.
 */
final class GgufTensors {
    /**
     * A tensor of the GGUF file.
     *
     * @param sources whose rows are its rows, one after the other
     */
    record Planned(Shape shape, List<GgufSource> sources) {}

    private static final List<String> EXPERT_PARTS = List.of("gate", "up", "down");

    private final Checkpoint checkpoint;
    private final TensorNames names;
    private final GgufArchitecture architecture;
    private final GgufConfig config;
    private final SequencedMap<String, Planned> planned = new LinkedHashMap<>();
    private final Set<String> used = new HashSet<>();
    private final List<String> skipped = new ArrayList<>();

    private GgufTensors(Checkpoint checkpoint, TensorNames names, GgufArchitecture architecture, GgufConfig config) {
        this.checkpoint = checkpoint;
        this.names = names;
        this.architecture = architecture;
        this.config = config;
    }

    /**
     * The tensors of a model.
     *
     * @throws FormatException if the checkpoint has a tensor that has no place, is quantized, or lacks one
     */
    static GgufTensors of(Checkpoint checkpoint, TensorNames names, GgufArchitecture architecture, GgufConfig config) {
        GgufTensors tensors = new GgufTensors(checkpoint, names, architecture, config);
        Quantization.packed(checkpoint.tensors()).forEach((module, quantization) -> {
            throw quantization.refusal(checkpoint.path(), module);
        });
        if (architecture.experts() != Experts.ABSENT) {
            for (int layer = 0; layer < config.layers(); layer++) {
                tensors.addExperts("layers." + layer + ".mlp.experts.", "blk." + layer + ".");
            }
        }
        names.tensors().forEach(tensors::add);
        tensors.addHead();
        return tensors;
    }

    /** By llama.cpp's name. */
    SequencedMap<String, Planned> planned() {
        return planned;
    }

    /** Tensors of the checkpoint that are left out. */
    List<String> skipped() {
        return skipped;
    }

    /** Whether the embedding table is the output head too, written once or twice. */
    boolean isTableHead() {
        Planned table = planned.get("token_embd.weight");
        return !architecture.encoder() && (table == null || table.equals(planned.getOrDefault("output.weight", table)));
    }

    private void add(String canonical) {
        String actual = names.find(canonical).orElseThrow();
        if (used.contains(actual)) {
            return;
        }
        TensorView tensor = tensor(actual);
        boolean head = isHead(canonical);
        if (architecture.skips(canonical) || (head && (architecture.head() == Head.NONE || names.isTied()))) {
            if (head && !names.isTied()) {
                throw new FormatException(
                        tensor.file(),
                        actual,
                        "is an output head of its own, but llama.cpp computes " + architecture.name()
                                + " with the embedding table as its head");
            }
            skipped.add(actual);
            return;
        }
        String target = architecture
                .tensor(canonical)
                .orElseThrow(() -> new FormatException(
                        tensor.file(),
                        actual,
                        "has no place in a GGUF file of " + architecture.name()
                                + ": llama.cpp computes this architecture without it"));
        if (tensor.shape().rank() == 2 && isTransposed(canonical)) {
            Shape turned = Shape.of(tensor.shape().dim(1), tensor.shape().dim(0));
            put(target, turned, Stored.transposed(tensor), canonical);
        } else {
            put(target, tensor.shape(), Stored.of(tensor), canonical);
        }
    }

    private boolean isHead(String canonical) {
        return names.head()
                .filter(module -> canonical.equals(module + ".weight"))
                .isPresent();
    }

    private boolean isTransposed(String canonical) {
        boolean weight = canonical.endsWith(".weight");
        String module = weight ? canonical.substring(0, canonical.length() - ".weight".length()) : canonical;
        boolean table = names.table().filter(module::equals).isPresent();
        return weight
                && !table
                && TensorNames.isNumbered(module)
                && names.transposed(module).orElse(false);
    }

    /** Puts a tensor, its values changed as llama.cpp wants them. */
    private void put(String target, Shape shape, Stored plain, String canonical) {
        Stored source = plain;
        if (architecture.addsOne(canonical)) {
            source = source.plusOne();
        }
        if (architecture.scalesQuery(canonical) && config.queryGain() != 1) {
            source = source.scaled(config.queryGain());
        }
        if (architecture.permutes(canonical)) {
            int heads = config.headsOf(canonical);
            // a bias is a matrix of one column
            Stored rows = shape.rank() == 1
                    ? new Stored(source.tensor(), 0, shape.dim(0), 1, 1, 1, 0, 0, source.gain())
                    : source;
            if (shape.dim(0) % (2L * heads) != 0) {
                throw new FormatException(
                        source.tensor().file(),
                        source.tensor().name(),
                        "has " + shape.dim(0) + " rows, which are not those of " + heads + " heads");
            }
            source = rows.permuted(heads);
        }
        planned.put(target, new Planned(shape, List.of(source)));
    }

    private void addHead() {
        if (architecture.head() == Head.REQUIRED && !planned.containsKey("output.weight")) {
            Planned table = planned.get("token_embd.weight");
            if (table != null) {
                planned.put("output.weight", table);
            }
        }
        for (String needed : List.of("token_embd.weight")) {
            if (!planned.containsKey(needed)) {
                throw new FormatException(
                        checkpoint.path(),
                        needed,
                        "has no tensor in the checkpoint; found "
                                + names.tensors().stream().limit(3).toList() + " …");
            }
        }
        for (int layer = 0; layer < config.layers(); layer++) {
            String prefix = "blk." + layer + ".";
            if (planned.keySet().stream().noneMatch(name -> name.startsWith(prefix))) {
                throw new FormatException(
                        checkpoint.path(),
                        "layer " + layer,
                        "is missing: the config.json says that there are " + config.layers());
            }
        }
    }

    private void addExperts(String from, String to) {
        int count = config.experts();
        for (String part : EXPERT_PARTS) {
            List<GgufSource> sources = architecture.experts() == Experts.INTERLEAVED
                    ? interleaved(from, part, count, to)
                    : separate(from, part, count);
            long rows = sources.getFirst().rows();
            planned.put(
                    to + "ffn_" + part + "_exps.weight",
                    new Planned(Shape.of(count, rows, sources.getFirst().columns()), sources));
        }
    }

    /** One matrix an expert: in tensors of their own, or in slices of a stack. */
    private List<GgufSource> separate(String from, String part, int count) {
        List<GgufSource> sources = new ArrayList<>();
        for (int expert = 0; expert < count; expert++) {
            String module = from + expert + "." + part + "_proj";
            List<Place> places = names.places(module);
            if (places.size() != 1) {
                throw new FormatException(checkpoint.path(), module, "is missing: expected " + count + " experts");
            }
            Place place = places.getFirst();
            TensorView tensor = tensor(place.tensor());
            int index = place.storage() instanceof Storage.Expert own ? own.index() : 0;
            long start = (long) index * place.out() * place.in();
            sources.add(new Stored(tensor, start, place.out(), place.in(), place.in(), 1, 0, 0, 1));
        }
        return sources;
    }

    /** Stacks [experts, in, out], whose gate and up are every second column. */
    private List<GgufSource> interleaved(String from, String part, int count, String to) {
        boolean down = part.equals("down");
        String module = from + (down ? "down_proj" : "gate_up_proj");
        TensorView stack = tensor(names.find(module).orElseThrow(() -> missing(module)));
        TensorView bias = tensor(names.find(module + "_bias").orElseThrow(() -> missing(module + "_bias")));
        if (stack.shape().rank() != 3
                || stack.shape().dim(0) != count
                || bias.shape().rank() != 2) {
            throw new FormatException(
                    stack.file(),
                    stack.name(),
                    "has shape " + stack.shape() + ", expected a stack of " + count + " experts");
        }
        long in = stack.shape().dim(1);
        long width = stack.shape().dim(2);
        int stride = down ? 1 : 2;
        int first = part.equals("up") ? 1 : 0;
        List<GgufSource> sources = new ArrayList<>();
        for (int expert = 0; expert < count; expert++) {
            sources.add(new Stored(stack, expert * in * width + first, width / stride, in, stride, width, 0, 0, 1));
        }
        planned.put(
                to + "ffn_" + part + "_exps.bias",
                new Planned(
                        Shape.of(count, width / stride),
                        List.of(new Stored(bias, first, count, width / stride, width, stride, 0, 0, 1))));
        return sources;
    }

    private FormatException missing(String name) {
        return new FormatException(checkpoint.path(), name, "is missing in the checkpoint");
    }

    private TensorView tensor(String actual) {
        used.add(actual);
        TensorView tensor =
                Optional.ofNullable(checkpoint.tensors().get(actual)).orElseThrow();
        Quantization.of(checkpoint.tensors(), actual).ifPresent(quantization -> {
            if (quantization.scaled()) {
                throw quantization.refusal(tensor.file(), actual);
            }
        });
        return tensor;
    }
}
