package dev.adapt.merge.convert;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.method.dense.Lokr;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.single.ModelPart;
import dev.adapt.formats.single.SingleFile;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.merge.lowrank.Cut;
import dev.adapt.merge.lowrank.Factors;
import dev.adapt.merge.lowrank.Rounding;
import dev.adapt.merge.lowrank.Rows;
import dev.adapt.merge.lowrank.Svd;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/**
 * An adapter in another form that makes the same update, or, where it is cut to a lower rank, nearly the same.
 *
 * @param form what it becomes
 * @param cut where its rank is reduced
 * @param dtype of its tensors; where it is not given, that of the source for tensors that stay as they are, float32 for
 *     computed ones
 * @param projection what becomes of what a seed draws
 * @param prefix of kohya's names
 * @param only the model of which adapters are read from a file that holds those of several
 * @param padRank the one rank of a LoRA adapter, where it is to be larger than its layers need
 */
public record Conversion(
        Form form,
        Optional<Cut> cut,
        Optional<Dtype> dtype,
        SharedMatrices projection,
        Optional<String> prefix,
        Optional<ModelPart> only,
        Optional<Integer> padRank) {
    /** A conversion of an adapter of one model. */
    public Conversion(
            Form form, Optional<Cut> cut, Optional<Dtype> dtype, SharedMatrices projection, Optional<String> prefix) {
        this(form, cut, dtype, projection, prefix, Optional.empty(), Optional.empty());
    }

    /** What an adapter becomes. */
    public enum Form {
        /** What it is; of a file with kohya's keys, a PEFT folder. */
        SAME,
        /** LoRA with one rank and one alpha. */
        LORA,
        /** One file with kohya's keys. */
        KOHYA
    }

    /**
     * What became of one layer.
     *
     * @param norm ‖ΔW‖, the Frobenius norm
     * @param error the norm of what the cut took away
     */
    public record Change(String module, int out, int in, int rankBefore, int rankAfter, double norm, double error) {}

    /**
     * What a conversion did.
     *
     * @param layers where the layers were made anew, else empty
     * @param bytes of all tensors
     */
    public record Result(List<Change> layers, Rounding rounding, long bytes) {
        public Result {
            layers = List.copyOf(layers);
        }

        /** The norm of all that the cut took away, as a share of the norm of all updates. */
        public double relativeError() {
            double norm = Math.sqrt(layers.stream()
                    .mapToDouble(layer -> layer.norm() * layer.norm())
                    .sum());
            double error = Math.sqrt(layers.stream()
                    .mapToDouble(layer -> layer.error() * layer.error())
                    .sum());
            return norm == 0 ? 0 : error / norm;
        }
    }

    /**
     * Converts an adapter.
     *
     * @param source an adapter folder, or a file with kohya's keys
     * @param base what it adapts, where the conversion must know its names, widths or weights
     * @param force whether to take another base than the adapter was trained on
     * @param out a folder to write, or a file for kohya's keys
     * @throws UsageException if the options do not go together for this adapter
     * @throws FormatException if the adapter is broken or cannot become that
     */
    public Result convert(Path source, Optional<Checkpoint> base, boolean force, Path out) throws IOException {
        return convert(source, base, force, out, Outputs.fresh());
    }

    /** The same, as one of a command's outputs. */
    public Result convert(Path source, Optional<Checkpoint> base, boolean force, Path out, Outputs outputs)
            throws IOException {
        outputs.madeFrom(AdapterLayers.snapshots(source));
        base.ifPresent(checkpoint -> outputs.madeFrom(checkpoint.snapshots()));
        if (form == Form.KOHYA) {
            outputs.requireFile(out);
        } else {
            outputs.requireFolder(out, AdapterOutput.FILES);
        }
        boolean file = Files.isRegularFile(source);
        if (form == Form.SAME && cut.isEmpty() && !file) {
            return restore(Adapter.read(source), base, force, out, outputs);
        }
        if (projection != SharedMatrices.AS_THEY_ARE) {
            throw new UsageException("a LoRA adapter, which this is to be, has no projection to save or to leave out");
        }
        if (file && form == Form.SAME && cut.isEmpty()) {
            List<Adapter> adapters = SingleFile.read(source, base, only);
            if (!areMatrices(adapters)) {
                return asFolder(source, adapters, out, outputs);
            }
        }
        if (form == Form.KOHYA && cut.isEmpty() && !file) {
            Optional<Result> renamed = renamed(Adapter.read(source), base, force, out, outputs);
            if (renamed.isPresent()) {
                return renamed.get();
            }
        }
        AdapterLayers layers = AdapterLayers.read(source, only, base, force);
        if (form == Form.SAME
                && layers.adapter().isPresent()
                && !(layers.adapter().get().method() instanceof Lora)) {
            throw new UsageException(
                    "to",
                    "a lower rank makes a LoRA adapter of this "
                            + layers.adapter().get().method().peftType() + " adapter: give lora");
        }
        return remake(layers, out, outputs);
    }

    /**
     * The products of an adapter's layers.
     *
     * @param changes what the cut took away, layer by layer
     */
    public record Products(List<AdapterLayers.Layer> layers, List<Change> changes) {
        public Products {
            layers = List.copyOf(layers);
            changes = List.copyOf(changes);
        }

        /** The norm of all that the cut took away, as a share of the norm of all updates. */
        public double relativeError() {
            return new Result(changes, Rounding.NONE, 0).relativeError();
        }
    }

    /**
     * An adapter's layers as products of low rank, cut as this conversion cuts.
     *
     * @throws FormatException if a layer is no product and nothing is cut
     */
    public Products products(AdapterLayers source) {
        List<AdapterLayers.Layer> layers = new ArrayList<>();
        List<Change> changes = new ArrayList<>();
        for (Target target : source.targets()) {
            layers.add(made(source, source.layer().apply(target), changes));
        }
        return new Products(layers, changes);
    }

    private Result remake(AdapterLayers source, Path out, Outputs outputs) throws IOException {
        Products products = products(source);
        List<AdapterLayers.Layer> layers = products.layers();
        List<Change> changes = products.changes();
        LoraAdapter lora = new LoraAdapter(layers);
        // cut by energy, each layer keeps the rank it needs
        boolean uniform =
                form == Form.LORA && (padRank.isPresent() || !(cut.isPresent() && cut.get() instanceof Cut.Energy));
        boolean own = cut.isEmpty()
                && source.adapter()
                        .map(adapter -> adapter.method() instanceof Lora)
                        .orElse(true)
                && (!uniform
                        || layers.stream()
                                        .mapToDouble(AdapterLayers.Layer::scale)
                                        .distinct()
                                        .count()
                                == 1);
        Dtype stored = dtype.orElse(own ? source.dtype() : Dtype.F32);
        AdapterOutput output = keptFrom(source);
        if (form == Form.KOHYA) {
            requireNothingElse(source.file(), output);
            Kohya.into(output, source.file(), layers, prefix.orElse(Kohya.PREFIX), stored);
            output.writeFile(out, outputs);
        } else {
            dtype.ifPresent(narrow -> output.retype(source.file(), narrow));
            (uniform ? lora.uniform(padRank) : lora).into(output, source.file(), stored);
            output.writeFolder(out, outputs);
        }
        return new Result(changes, output.rounding(), output.bytes());
    }

    private AdapterLayers.Layer made(AdapterLayers source, AdapterLayers.Layer layer, List<Change> changes) {
        String module = layer.target().module();
        layer.requireWeightOnly(source.file());
        if (cut.isEmpty()) {
            if (layer.whole().isPresent()) {
                String title = source.adapter()
                        .map(adapter -> adapter.method().title())
                        .orElse("of another method");
                throw new FormatException(
                        source.file(),
                        "is " + title
                                + ", whose changes are not of low rank: no LoRA adapter is the same; with --rank or"
                                + " --energy the nearest one is found");
            }
            Factors factors = layer.factors();
            changes.add(
                    new Change(module, factors.out(), factors.in(), factors.rank(), factors.rank(), norm(layer), 0));
            return layer;
        }
        try {
            return layer.whole().isPresent()
                    ? cutWhole(layer, layer.whole().get(), cut.get(), changes)
                    : cutProduct(layer, cut.get(), changes);
        } catch (ArithmeticException e) {
            throw new FormatException(source.file(), module, "cannot be cut: " + e.getMessage());
        }
    }

    private static AdapterLayers.Layer cutProduct(AdapterLayers.Layer layer, Cut cut, List<Change> changes) {
        Factors factors = layer.factors();
        Svd whole = Svd.ofProduct(factors.left(), factors.right());
        Svd kept = cut.of(whole);
        double lost = 0;
        for (int i = kept.rank(); i < whole.rank(); i++) {
            lost += whole.values()[i] * whole.values()[i];
        }
        double gain = Math.abs(layer.scale());
        changes.add(new Change(
                layer.target().module(),
                factors.out(),
                factors.in(),
                factors.rank(),
                kept.rank(),
                gain * Math.sqrt(whole.squaredNorm()),
                gain * Math.sqrt(lost)));
        return new AdapterLayers.Layer(layer.target(), kept.balancedFactors(), layer.scale());
    }

    private static AdapterLayers.Layer cutWhole(
            AdapterLayers.Layer layer, Rows difference, Cut cut, List<Change> changes) {
        Svd kept = cut.of(difference);
        changes.add(new Change(
                layer.target().module(),
                difference.rows(),
                difference.columns(),
                Math.min(difference.rows(), difference.columns()),
                kept.rank(),
                Math.sqrt(difference.squaredNorm()),
                Math.sqrt(difference.minus(kept.factors().delta()).squaredNorm())));
        return new AdapterLayers.Layer(layer.target(), kept.balancedFactors(), 1);
    }

    /** ‖ΔW‖ without forming it: {@code ‖L·R‖² = Σ (LᵀL)∘(RRᵀ)}. */
    private static double norm(AdapterLayers.Layer layer) {
        Rows left = Rows.of(layer.factors().left());
        DoubleTensor leftGram = left.transposeTimes(layer.factors().left());
        Rows right = Rows.of(layer.factors().transposed().left());
        DoubleTensor rightGram =
                right.transposeTimes(layer.factors().transposed().left());
        double sum = 0;
        for (int i = 0; i < leftGram.values().length; i++) {
            sum += leftGram.values()[i] * rightGram.values()[i];
        }
        return Math.abs(layer.scale()) * Math.sqrt(Math.max(sum, 0));
    }

    /** All that the adapter holds beside its method's tensors. */
    private static AdapterOutput keptFrom(AdapterLayers source) throws IOException {
        if (source.adapter().isEmpty()) {
            AdapterOutput output = new AdapterOutput(source.config().deepCopy());
            output.metadata().putAll(source.metadata());
            return output;
        }
        Adapter adapter = source.adapter().get();
        AdapterOutput output = keptFrom(adapter);
        output.config().removeAll().setAll(source.config().deepCopy());
        output.metadata().clear();
        output.metadata().putAll(source.metadata());
        output.metadata().keySet().removeAll(adapter.method().metadata().keySet());
        output.metadata().keySet().removeIf(key -> key.startsWith(Adapter.PART_SHA256));
        return output;
    }

    private static void requireNothingElse(Path source, AdapterOutput output) {
        if (!output.keys().isEmpty()) {
            throw new FormatException(
                    source,
                    "holds " + output.keys().size() + " tensors of whole modules, such as "
                            + output.keys().getFirst() + ", which kohya's layout has no place for");
        }
    }

    /** Whether all that a file holds is LoRA on linear layers, of which the ranks and scales may differ. */
    private static boolean areMatrices(List<Adapter> adapters) {
        return adapters.stream()
                .allMatch(adapter -> adapter.method() instanceof Lora lora
                        && !lora.dora()
                        && adapter.parts().values().stream()
                                .allMatch(part -> part.shape().rank() == 2));
    }

    /** A file of one method as PEFT's folder, its tensors as they are. */
    private Result asFolder(Path source, List<Adapter> adapters, Path out, Outputs outputs) throws IOException {
        String titles =
                adapters.stream().map(adapter -> adapter.method().title()).collect(Collectors.joining(", "));
        if (adapters.size() > 1) {
            throw new FormatException(
                    source,
                    "holds modules of " + titles
                            + ", and a PEFT adapter has one method: merge the file, or convert it to"
                            + " lora at a rank");
        }
        Adapter adapter = adapters.getFirst();
        if (adapter.method() instanceof Lokr) {
            throw new FormatException(
                    source,
                    "is LoKr as LyCORIS factorises layers, which PEFT's config cannot describe: merge the file, or convert it"
                            + " to lora at a rank");
        }
        AdapterOutput output =
                new AdapterOutput(adapter.config().document().json().deepCopy());
        output.metadata().putAll(adapter.metadata());
        adapter.parts().forEach((key, part) -> output.put(source, key, DoubleTensor.of(part), dtype.orElse(Dtype.F32)));
        output.writeFolder(out, outputs);
        return new Result(List.of(), output.rounding(), output.bytes());
    }

    /** A folder's own tensors under the names of kohya and LyCORIS, where they have names there that layers have not. */
    private Optional<Result> renamed(
            Adapter adapter, Optional<Checkpoint> base, boolean force, Path out, Outputs outputs) throws IOException {
        if (!Kohya.names(adapter.method()) || areMatrices(List.of(adapter))) {
            return Optional.empty();
        }
        BoundAdapter bound =
                base.isPresent() ? new Binding(base.get()).bind(adapter, force) : BoundAdapter.alone(adapter);
        AdapterOutput output = AdapterOutput.copyOf(adapter);
        Kohya.rename(output, adapter.file(), bound, prefix.orElse(Kohya.PREFIX));
        AdapterOutput rest = keptFrom(adapter);
        requireNothingElse(adapter.file(), rest);
        dtype.ifPresent(narrow -> output.retype(adapter.file(), narrow));
        output.writeFile(out, outputs);
        return Optional.of(new Result(List.of(), output.rounding(), output.bytes()));
    }

    /** All that an adapter holds beside its method's tensors. */
    private static AdapterOutput keptFrom(Adapter adapter) throws IOException {
        AdapterOutput output = AdapterOutput.copyOf(adapter);
        adapter.parts().keySet().forEach(output::remove);
        SharedMatrices.removeCopies(adapter.method(), output);
        return output;
    }

    /** The same adapter with its tensors in another dtype, or its projection stored or not. */
    private Result restore(Adapter adapter, Optional<Checkpoint> base, boolean force, Path out, Outputs outputs)
            throws IOException {
        AdapterOutput output = AdapterOutput.copyOf(adapter);
        Optional<BoundAdapter> bound = base.map(own -> new Binding(own).bind(adapter, force));
        projection.apply(adapter, () -> bound.orElseGet(() -> BoundAdapter.alone(adapter)), output);
        dtype.ifPresent(narrow -> output.retype(adapter.file(), narrow));
        output.writeFolder(out, outputs);
        return new Result(List.of(), output.rounding(), output.bytes());
    }
}
