package dev.adapt.merge.lowrank;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.adapter.AdapterConfig;
import dev.adapt.formats.adapter.BoundAdapter;
import dev.adapt.formats.adapter.Lora;
import dev.adapt.formats.adapter.Target;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.LowRank;
import dev.adapt.formats.graph.ReferenceOps;
import dev.adapt.formats.io.Snapshot;
import dev.adapt.formats.model.Binding;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * An adapter of any method as the products its layers are updated by, computed when they are asked for.
 *
 * @param file named in errors
 * @param config its adapter_config.json, or what one would say; of another method than LoRA without its own fields
 * @param metadata of its file, telling of the base layer by layer
 * @param dtype that its factors are stored in
 * @param adapter the folder it was read from, if it was one
 * @param layer the update of a target
 */
public record AdapterLayers(
        Path file,
        ObjectNode config,
        Map<String, String> metadata,
        Dtype dtype,
        List<Target> targets,
        Optional<Adapter> adapter,
        Function<Target, Layer> layer) {
    /**
     * One layer's update, {@code scale·left·right}.
     *
     * @param whole the whole difference to the base's weight [out, in], where the method makes more of the base than
     *     adding that product to it (DoRA)
     */
    public record Layer(Target target, Factors factors, double scale, Optional<Rows> whole) {}

    public AdapterLayers {
        targets = List.copyOf(targets);
    }

    /**
     * Reads an adapter folder, or a single file with kohya's keys.
     *
     * @param base open as long as the layers are used; without it, the adapter must tell its layers' names and widths
     * @param force whether to take another base than the adapter was trained on
     * @throws FormatException if the file is broken, does not fit the base, or does not tell enough without one
     */
    public static AdapterLayers read(Path path, Optional<Checkpoint> base, boolean force) throws IOException {
        if (Files.isRegularFile(path)) {
            return Kohya.read(path, base);
        }
        Adapter adapter = Adapter.read(path);
        return base.isPresent() ? of(adapter, base.get(), force) : of(adapter);
    }

    /** The states of the files that {@link #read} reads of a path. */
    static List<Snapshot> snapshots(Path path) throws IOException {
        List<Snapshot> snapshots = new ArrayList<>();
        if (Files.isRegularFile(path)) {
            snapshots.add(Snapshot.of(path));
        }
        for (String name : List.of(Adapter.FILE, AdapterConfig.FILE)) {
            if (Files.isRegularFile(path.resolve(name))) {
                snapshots.add(Snapshot.of(path.resolve(name)));
            }
        }
        return snapshots;
    }

    /** An adapter by its own folder alone. */
    static AdapterLayers of(Adapter adapter) throws IOException {
        BoundAdapter bound = BoundAdapter.alone(adapter);
        return of(adapter, bound, weight -> {
            throw new FormatException(
                    adapter.file(), "its updates come from the weights of its base; give it with --base");
        });
    }

    /**
     * An adapter on its base.
     *
     * @param force whether to take another base than the adapter was trained on
     */
    public static AdapterLayers of(Adapter adapter, Checkpoint base, boolean force) throws IOException {
        Binding binding = new Binding(base);
        return of(adapter, binding.bind(adapter, force), binding::weight);
    }

    private static AdapterLayers of(Adapter adapter, BoundAdapter bound, Function<Target, ? extends Tensor> weight)
            throws IOException {
        Map<String, DoubleTensor> shared = new HashMap<>();
        return new AdapterLayers(
                adapter.file(),
                config(adapter),
                bound.baseByLayer(adapter.metadata()),
                dtype(adapter),
                bound.targets(),
                Optional.of(adapter),
                target -> layer(bound, target, shared, () -> weight.apply(target)));
    }

    private static ObjectNode config(Adapter adapter) {
        ObjectNode config = adapter.config().document().json().deepCopy();
        if (!(adapter.method() instanceof Lora)) {
            config.remove(adapter.method().configFields());
            config.put("lora_dropout", adapter.method().dropout());
        }
        return config;
    }

    private static Dtype dtype(Adapter adapter) throws IOException {
        try (SafetensorsFile file = SafetensorsFile.open(adapter.file())) {
            return file.tensors().stream()
                    .filter(tensor -> adapter.parts().containsKey(tensor.name()))
                    .findFirst()
                    .orElseThrow()
                    .dtype();
        }
    }

    /** @param weight as it is stored, read when it is needed */
    private static Layer layer(
            BoundAdapter bound, Target target, Map<String, DoubleTensor> shared, Supplier<? extends Tensor> weight) {
        ReferenceOps ops = new ReferenceOps();
        LowRank<DoubleTensor> update = bound.update(ops, target, key -> leaf(bound, key, shared, weight));
        boolean plain = update.rows().isEmpty() && update.inner().isEmpty();
        Factors factors = plain
                ? new Factors(update.left(), update.right())
                : new Factors(update.foldedLeft(ops), update.foldedRight(ops));
        double scale = plain ? update.scale() : 1;
        Optional<Rows> whole =
                update.magnitude().map(magnitude -> rescaled(factors, scale, magnitude, target.upright(weight.get())));
        return new Layer(target, factors, scale, whole);
    }

    private static DoubleTensor leaf(
            BoundAdapter bound, String key, Map<String, DoubleTensor> shared, Supplier<? extends Tensor> weight) {
        Tensor own = bound.tensors().get(key);
        if (own == null) {
            return DoubleTensor.of(weight.get());
        }
        return key.startsWith(Adapter.MODULE_PREFIX)
                ? DoubleTensor.of(own)
                : shared.computeIfAbsent(key, absent -> DoubleTensor.of(own));
    }

    /** DoRA's difference: {@code diag(m/‖W + ΔW‖)·(W + ΔW) − W}, row by row. */
    private static Rows rescaled(Factors factors, double scale, DoubleTensor magnitude, FloatTensor weight) {
        Rows delta = factors.delta();
        return new Rows() {
            @Override
            public int rows() {
                return factors.out();
            }

            @Override
            public int columns() {
                return factors.in();
            }

            @Override
            public void read(int row, double[] into, int at) {
                delta.read(row, into, at);
                int from = row * columns();
                double squares = 0;
                for (int i = 0; i < columns(); i++) {
                    into[at + i] = into[at + i] * scale + weight.values()[from + i];
                    squares += into[at + i] * into[at + i];
                }
                double gain = magnitude.values()[row] / Math.sqrt(squares);
                for (int i = 0; i < columns(); i++) {
                    into[at + i] = into[at + i] * gain - weight.values()[from + i];
                }
            }
        };
    }
}
