package dev.adapt.merge.convert;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.LowRank;
import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.algebra.Region;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.Snapshot;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.single.ModelPart;
import dev.adapt.formats.single.SingleFile;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.formats.tensor.ValueCount;
import dev.adapt.merge.lowrank.Factors;
import dev.adapt.merge.lowrank.Rows;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.TreeMap;
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
     * What an adapter adds to one weight: {@code scale·left·right}, or a whole matrix.
     *
     * @param product left and right, where the change has a product of low rank
     * @param whole the difference to the base's weight [out, in], where the change is more than that product
     * @param changesBias whether the layer's bias changes too
     */
    public record Layer(
            Target target, Optional<Factors> product, double scale, Optional<Rows> whole, boolean changesBias) {
        /** A change of low rank. */
        Layer(Target target, Factors factors, double scale) {
            this(target, Optional.of(factors), scale, Optional.empty(), false);
        }

        /**
         * Makes sure that a LoRA adapter can hold the change, or come near it.
         *
         * @throws FormatException if it changes the bias, which would be lost
         */
        void requireWeightOnly(Path file) {
            if (changesBias) {
                throw new FormatException(
                        file,
                        target.module(),
                        "has its bias changed too, which the factors of LoRA do not hold: merge the adapter as it is");
            }
        }

        /**
         * Its factors.
         *
         * @throws IllegalStateException if it is not of low rank
         */
        public Factors factors() {
            return product.orElseThrow(
                    () -> new IllegalStateException(target.module() + " has no product of low rank"));
        }
    }

    public AdapterLayers {
        targets = List.copyOf(targets);
    }

    /**
     * Reads an adapter folder, or a single file.
     *
     * @param only the model of which adapters are read from a file that holds those of several
     * @param base open as long as the layers are used; without it, the adapter must tell its layers' names and widths
     * @param force whether to take another base than the adapter was trained on
     * @throws FormatException if the file is broken, does not fit the base, or does not tell enough without one
     */
    static AdapterLayers read(Path path, Optional<ModelPart> only, Optional<Checkpoint> base, boolean force)
            throws IOException {
        if (Files.isRegularFile(path)) {
            return ofFile(path, SingleFile.read(path, base, only), base, force);
        }
        Adapter adapter = Adapter.read(path);
        return base.isPresent() ? of(adapter, base.get(), force) : of(adapter);
    }

    /** The same of a folder, or of a file of one model. */
    public static AdapterLayers read(Path path, Optional<Checkpoint> base, boolean force) throws IOException {
        return read(path, Optional.empty(), base, force);
    }

    /** The layers of all adapters in a file. */
    static AdapterLayers ofFile(Path path, List<Adapter> adapters, Optional<Checkpoint> base, boolean force)
            throws IOException {
        Map<Target, Function<Target, Layer>> layers = new LinkedHashMap<>();
        Map<String, String> metadata = new TreeMap<>();
        Dtype dtype = Dtype.F32;
        for (Adapter adapter : adapters) {
            BoundAdapter bound =
                    base.isPresent() ? new Binding(base.get()).bind(adapter, force) : BoundAdapter.alone(adapter);
            Function<Target, ? extends Tensor> weight = base.<Function<Target, ? extends Tensor>>map(
                            own -> new Binding(own)::weight)
                    .orElse(target -> withoutBase(adapter));
            AdapterLayers own = of(adapter, bound, weight, config(adapter), Dtype.F32);
            own.targets().forEach(target -> layers.put(target, own.layer()));
            metadata.putAll(own.metadata());
        }
        try (SafetensorsFile file = SafetensorsFile.open(InputFile.named(path))) {
            dtype = file.tensors().stream()
                    .filter(tensor -> tensor.shape().rank() > 1)
                    .findFirst()
                    .map(TensorView::dtype)
                    .orElse(dtype);
        }
        List<Target> targets = List.copyOf(layers.keySet());
        AdapterOutput output = AdapterOutput.on(
                base.map(own -> own.path().toString()).orElse(""),
                targets,
                targets.stream().map(Target::module).toList(),
                List.of());
        output.metadata().forEach(metadata::putIfAbsent);
        return new AdapterLayers(
                path,
                output.config(),
                metadata,
                dtype,
                targets,
                Optional.empty(),
                target -> Objects.requireNonNull(layers.get(target)).apply(target));
    }

    private static Tensor withoutBase(Adapter adapter) {
        throw new FormatException(adapter.file(), "its updates come from the weights of its base; give it with --base");
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
        requireMatrices(adapter, bound);
        return of(adapter, bound, weight -> withoutBase(adapter), config(adapter), dtype(adapter));
    }

    /**
     * An adapter on its base.
     *
     * @param force whether to take another base than the adapter was trained on
     */
    public static AdapterLayers of(Adapter adapter, Checkpoint base, boolean force) throws IOException {
        Binding binding = new Binding(base);
        BoundAdapter bound = binding.bind(adapter, force);
        requireMatrices(adapter, bound);
        return of(adapter, bound, binding::weight);
    }

    /**
     * An adapter that is bound already, whose targets may be matrices of a stack.
     *
     * @param weight the base's weight of a target, as it is stored
     */
    public static AdapterLayers of(Adapter adapter, BoundAdapter bound, Function<Target, ? extends Tensor> weight)
            throws IOException {
        return of(adapter, bound, weight, config(adapter), dtype(adapter));
    }

    private static AdapterLayers of(
            Adapter adapter,
            BoundAdapter bound,
            Function<Target, ? extends Tensor> weight,
            ObjectNode config,
            Dtype dtype) {
        Map<String, DoubleTensor> shared = new HashMap<>();
        return new AdapterLayers(
                adapter.file(),
                config,
                bound.baseByLayer(adapter.metadata()),
                dtype,
                bound.targets(),
                Optional.of(adapter),
                target -> layer(
                        adapter.file(), bound, target, shared, () -> finite(adapter, weight.apply(target), target)));
    }

    /** Layers are written as matrices of linear layers and embeddings, one for each module. */
    private static void requireMatrices(Adapter adapter, BoundAdapter bound) {
        for (Target target : bound.targets()) {
            boolean kernel = target.storage() instanceof Storage.Kernel;
            if (kernel || !target.piece().isWhole()) {
                throw new FormatException(
                        adapter.file(),
                        target.parameter(),
                        kernel
                                ? "is a convolution: only a merge takes it, and only adapters of linear layers are converted,"
                                        + " combined or analysed"
                                : "is a stack of experts: only a merge takes it, and only adapters of modules that have one"
                                        + " matrix are converted, combined or analysed");
            }
        }
    }

    private static Tensor finite(Adapter adapter, Tensor weight, Target target) {
        Path file = weight instanceof TensorView view ? view.file() : adapter.file();
        return ValueCount.requireFinite(file, target.tensor(), weight);
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
            return adapter.stored(file).stream()
                    .filter(tensor -> adapter.parts().containsKey(tensor.name()))
                    .findFirst()
                    .orElseThrow()
                    .dtype();
        }
    }

    /** @param weight as it is stored, read when it is needed */
    private static Layer layer(
            Path file,
            BoundAdapter bound,
            Target target,
            Map<String, DoubleTensor> shared,
            Supplier<? extends Tensor> weight) {
        ReferenceOps ops = new ReferenceOps();
        WeightChange<DoubleTensor> change = bound.change(
                ops,
                target,
                key -> wide(file, bound, key, shared),
                () -> DoubleTensor.of(target.upright(weight.get())));
        boolean changesBias =
                change.bias().filter(bias -> bias.adds() || target.biased()).isPresent();
        Optional<Rows> whole = change.lowRank().isPresent()
                ? Optional.empty()
                : Optional.of(new Difference(target, new Delta.Once<>(() -> difference(change, target, weight))));
        if (!(change.delta() instanceof LowRank<DoubleTensor> update)) {
            return new Layer(target, Optional.empty(), 1, whole, changesBias);
        }
        boolean plain = update.rows().isEmpty() && update.inner().isEmpty();
        Factors factors = plain
                ? new Factors(update.left(), update.right())
                : new Factors(update.foldedLeft(ops), update.foldedRight(ops));
        return new Layer(target, Optional.of(factors), plain ? update.scale() : 1, whole, changesBias);
    }

    /** What a change that is no product of low rank adds to the weight: {@code W' - W}, in memory once it is read. */
    private record Difference(Target target, Delta.Once<DoubleTensor> matrix) implements Rows {
        @Override
        public int rows() {
            return target.out();
        }

        @Override
        public int columns() {
            return target.in();
        }

        @Override
        public void read(int row, double[] into, int at) {
            System.arraycopy(matrix.get().values(), row * columns(), into, at, columns());
        }
    }

    private static DoubleTensor difference(
            WeightChange<DoubleTensor> change, Target target, Supplier<? extends Tensor> weight) {
        ReferenceOps ops = new ReferenceOps();
        Region all = Region.of(target.out(), target.in());
        if (change.isAdditive()) {
            return change.added(ops, all);
        }
        DoubleTensor upright = DoubleTensor.of(target.upright(weight.get()));
        return ops.subtract(change.changed(ops, upright, all), upright);
    }

    private static DoubleTensor wide(Path file, BoundAdapter bound, String key, Map<String, DoubleTensor> shared) {
        Tensor own = Objects.requireNonNull(bound.tensors().get(key));
        return key.startsWith(Adapter.MODULE_PREFIX)
                ? DoubleTensor.of(ValueCount.requireFinite(file, key, own))
                : shared.computeIfAbsent(key, absent -> DoubleTensor.of(ValueCount.requireFinite(file, key, own)));
    }
}
