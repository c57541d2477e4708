package dev.adapt.formats.gguf.model;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.gguf.GgmlType;
import dev.adapt.formats.gguf.GgufHeader;
import dev.adapt.formats.gguf.GgufValue;
import dev.adapt.formats.gguf.model.GgufSource.Given;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.names.TensorNames;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.TreeMap;
import java.util.function.LongUnaryOperator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * A LoRA adapter as a GGUF file, which llama.cpp applies to a model while it runs. All layers get one rank, and alpha is that
 * rank: the scale of each layer is in its B, so that rsLoRA and patterns of ranks and alphas come out right.
 */
public final class GgufAdapter {
    private static final Pattern EXPERT =
            Pattern.compile("layers\\.(\\d+)\\.mlp\\.experts\\.(\\d+)\\.(gate|up|down)_proj");
    private static final Pattern STACK = Pattern.compile("layers\\.(\\d+)\\.mlp\\.experts\\.(gate_up|down)_proj");

    /**
     * An update {@code ΔW = left·right} of a layer.
     *
     * @param left [out, rank], with the scale in it: LoRA's B
     * @param right [rank, in]: LoRA's A
     */
    public record Update(Target target, FloatTensor left, FloatTensor right) {
        int rank() {
            return Math.toIntExact(right.shape().dim(0));
        }
    }

    /** The updates of one of llama.cpp's tensors: by number of the expert, 0 where there are none. */
    private record Slot(boolean experts, boolean table, Map<Integer, Update> updates) {}

    private final GgufArchitecture architecture;
    private final GgufConfig hyperparameters;
    private final GgufTensors tensors;
    private final SequencedMap<String, Slot> slots = new LinkedHashMap<>();

    private GgufAdapter(Checkpoint base) throws IOException {
        JsonDocument config = base.requireConfig();
        TensorNames names = TensorNames.of(base);
        this.architecture = GgufArchitecture.of(config);
        this.hyperparameters = GgufConfig.of(architecture, config, names);
        this.tensors = GgufTensors.of(base, names, architecture, hyperparameters);
    }

    /**
     * Writes an adapter.
     *
     * @param base what it adapts, and what the model's GGUF file is made of
     * @param adapter named in errors
     * @param name for {@code general.name}
     * @param type of its tensors, F32, F16 or BF16
     * @param out the file to write
     * @param outputs what may be written
     * @throws FormatException if llama.cpp has no place for an update
     */
    public static GgufHeader write(
            Checkpoint base, Path adapter, String name, List<Update> updates, GgmlType type, Path out, Outputs outputs)
            throws IOException {
        GgufAdapter made = new GgufAdapter(base);
        updates.forEach(update -> made.place(adapter, update));
        if (updates.isEmpty()) {
            throw new FormatException(adapter, "has no layers");
        }
        return made.write(name, type, out, outputs);
    }

    private void place(Path adapter, Update update) {
        String module = update.target().canonical();
        Matcher expert = EXPERT.matcher(module);
        Matcher stack = STACK.matcher(module);
        if (expert.matches()) {
            String slot = "blk." + expert.group(1) + ".ffn_" + expert.group(3) + "_exps";
            put(adapter, slot, Integer.parseInt(expert.group(2)), update, true);
        } else if (stack.matches() && update.target().storage() instanceof Storage.Expert own) {
            String prefix = "blk." + stack.group(1) + ".ffn_";
            if (stack.group(2).equals("down")) {
                put(adapter, prefix + "down_exps", own.index(), update, true);
            } else {
                put(adapter, prefix + "gate_exps", own.index(), half(update, 0), true);
                put(adapter, prefix + "up_exps", own.index(), half(update, 1), true);
            }
        } else {
            String slot = architecture.module(module).orElse("");
            boolean matrix = update.target().storage() instanceof Storage.Linear
                    || update.target().embedding();
            if (!matrix || !tensors.planned().containsKey(slot + ".weight")) {
                throw new FormatException(
                        adapter,
                        update.target().module(),
                        "is adapted, but llama.cpp's " + architecture.name()
                                + " has no tensor of its own for it; merge the adapter, and export what comes out");
            }
            if (update.target().embedding() && tensors.isTableHead()) {
                throw new FormatException(
                        adapter,
                        update.target().module(),
                        "is adapted and is the output head too, which llama.cpp cannot tell apart; merge the adapter, and"
                                + " export what comes out");
            }
            put(adapter, slot, 0, arranged(update), false);
        }
    }

    private void put(Path adapter, String name, int expert, Update update, boolean experts) {
        Slot slot = slots.computeIfAbsent(
                name, absent -> new Slot(experts, update.target().embedding(), new TreeMap<>()));
        if (slot.updates().put(expert, update) != null) {
            throw new FormatException(adapter, update.target().module(), "is adapted twice");
        }
    }

    /** The rows of gate or up in a stack that holds both. */
    private Update half(Update update, int part) {
        int rows = update.target().out() / 2;
        boolean interleaved = architecture.experts() == GgufArchitecture.Experts.INTERLEAVED;
        return new Update(
                update.target(),
                rows(update.left(), rows, row -> interleaved ? 2 * row + part : row + (long) part * rows, 1),
                update.right());
    }

    /** B's rows in llama.cpp's order, scaled as the weight is. */
    private Update arranged(Update update) {
        String weight = update.target().canonical() + ".weight";
        float gain = architecture.scalesQuery(weight) ? (float) hyperparameters.queryGain() : 1;
        int out = update.target().out();
        int heads = hyperparameters.headsOf(weight);
        boolean permuted = architecture.permutes(weight);
        return new Update(
                update.target(),
                rows(update.left(), out, row -> permuted ? GgufSource.source(row, out / heads) : row, gain),
                update.right());
    }

    private static FloatTensor rows(FloatTensor matrix, int count, LongUnaryOperator source, float gain) {
        int columns = Math.toIntExact(matrix.shape().dim(1));
        float[] values = new float[Math.multiplyExact(count, columns)];
        for (int row = 0; row < count; row++) {
            int from = Math.toIntExact(source.applyAsLong(row) * columns);
            for (int c = 0; c < columns; c++) {
                values[row * columns + c] = matrix.values()[from + c] * gain;
            }
        }
        return new FloatTensor(Shape.of(count, columns), values);
    }

    private GgufHeader write(String name, GgmlType type, Path out, Outputs outputs) throws IOException {
        int rank = slots.values().stream()
                .flatMap(slot -> slot.updates().values().stream())
                .mapToInt(Update::rank)
                .max()
                .orElseThrow();
        SequencedMap<String, GgufValue> metadata = new LinkedHashMap<>();
        metadata.put("general.architecture", GgufValue.text(architecture.name()));
        metadata.put("general.type", GgufValue.text("adapter"));
        metadata.put("general.name", GgufValue.text(name));
        metadata.put("general.file_type", GgufValue.u32(GgufExport.fileType(type)));
        metadata.put("adapter.type", GgufValue.text("lora"));
        metadata.put("adapter.lora.alpha", GgufValue.f32(rank));
        SequencedMap<String, GgufTensors.Planned> planned = new LinkedHashMap<>();
        slots.forEach((slot, updates) -> plan(slot, updates, rank, planned));
        List<GgufHeader.Spec> specs = new ArrayList<>();
        planned.forEach((tensor, each) -> specs.add(new GgufHeader.Spec(tensor, type, each.shape())));
        GgufHeader header = GgufHeader.of(metadata, specs);
        GgufExport.write(header, planned, out, outputs);
        return header;
    }

    private void plan(String name, Slot slot, int rank, Map<String, GgufTensors.Planned> planned) {
        Update first = slot.updates().values().iterator().next();
        int in = Math.toIntExact(first.right().shape().dim(1));
        int out = Math.toIntExact(first.left().shape().dim(0));
        int count = slot.experts() ? hyperparameters.experts() : 1;
        List<GgufSource> right = new ArrayList<>();
        List<GgufSource> left = new ArrayList<>();
        for (int expert = 0; expert < count; expert++) {
            Update update = slot.updates().get(expert);
            // llama.cpp looks up A's columns for tokens: of an embedding it is stored transposed
            right.add(slot.table() ? table(first, rank) : rightOf(update, rank, in));
            left.add(leftOf(update, rank, out));
        }
        Shape a = slot.table() ? Shape.of(in, rank) : slot.experts() ? Shape.of(count, rank, in) : Shape.of(rank, in);
        Shape b = slot.experts() ? Shape.of(count, out, rank) : Shape.of(out, rank);
        planned.put(name + ".weight.lora_a", new GgufTensors.Planned(a, right));
        planned.put(name + ".weight.lora_b", new GgufTensors.Planned(b, left));
    }

    private static Given rightOf(@Nullable Update update, int rank, int in) {
        float[] values = new float[Math.multiplyExact(rank, in)];
        if (update != null) {
            System.arraycopy(update.right().values(), 0, values, 0, update.rank() * in);
        }
        return new Given(rank, in, values);
    }

    private static Given leftOf(@Nullable Update update, int rank, int out) {
        float[] values = new float[Math.multiplyExact(out, rank)];
        if (update != null) {
            int own = update.rank();
            for (int row = 0; row < out; row++) {
                System.arraycopy(update.left().values(), row * own, values, row * rank, own);
            }
        }
        return new Given(out, rank, values);
    }

    private static Given table(Update update, int rank) {
        int in = Math.toIntExact(update.right().shape().dim(1));
        float[] values = new float[Math.multiplyExact(in, rank)];
        for (int k = 0; k < update.rank(); k++) {
            for (int token = 0; token < in; token++) {
                values[token * rank + k] = update.right().values()[k * in + token];
            }
        }
        return new Given(in, rank, values);
    }
}
