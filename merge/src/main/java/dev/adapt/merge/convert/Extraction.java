package dev.adapt.merge.convert;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.Quantization;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.names.TensorNames;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.ValueCount;
import dev.adapt.merge.lowrank.Cut;
import dev.adapt.merge.lowrank.Factors;
import dev.adapt.merge.lowrank.Rounding;
import dev.adapt.merge.lowrank.Rows;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;

/**
 * A LoRA adapter from two full checkpoints: the difference of each linear layer, cut to low rank by truncated SVD (whole
 * where the layer is small, randomised where it is large). Alpha is the rank, so that the scale is 1. One layer is looked at
 * at a time, and neither checkpoint is loaded.
 *
 * @param names the layers to take, by PEFT's rule; all linear layers of the body where it is empty
 * @param saved modules that the adapter holds whole, as the tuned checkpoint has them
 * @param dtype of the adapter's factors
 */
public record Extraction(Cut cut, List<String> names, List<String> saved, Dtype dtype) {
    public Extraction {
        names = List.copyOf(names);
        saved = List.copyOf(saved);
    }

    /**
     * An extracted layer.
     *
     * @param norm of the difference
     * @param error the norm of what the adapter's layer, as it is stored, is off
     * @param largest the largest element of that
     */
    public record Layer(String module, int out, int in, int rank, double norm, double error, double largest) {}

    /**
     * A tensor that the adapter does not hold and that is not the same in both checkpoints.
     *
     * @param why it is not the same
     * @param largest the largest difference, where both have it in one shape
     */
    public record LeftOut(String tensor, Shape shape, long bytes, Why why, double largest) {}

    /** How a tensor is not the same in both checkpoints. */
    public enum Why {
        DIFFERS,
        HAS_ANOTHER_SHAPE,
        ONLY_IN_TUNED,
        ONLY_IN_BASE
    }

    /**
     * What was found.
     *
     * @param unchanged layers looked at that are the same in both
     * @param saved tensors the adapter holds whole
     * @param bytes of the adapter's tensors
     */
    public record Result(
            List<Layer> layers,
            int unchanged,
            List<String> saved,
            List<LeftOut> leftOut,
            Rounding rounding,
            long bytes) {
        public Result {
            layers = List.copyOf(layers);
            saved = List.copyOf(saved);
            leftOut = List.copyOf(leftOut);
        }
    }

    /**
     * Extracts.
     *
     * @param out a folder to write
     * @throws FormatException if a name means nothing, a layer has another shape, or there is no difference to extract
     */
    public Result extract(Checkpoint tuned, Checkpoint base, Path out) throws IOException {
        return extract(tuned, base, out, Outputs.fresh());
    }

    /** The same, as one of a command's outputs. */
    public Result extract(Checkpoint tuned, Checkpoint base, Path out, Outputs outputs) throws IOException {
        outputs.madeFrom(tuned.snapshots());
        outputs.madeFrom(base.snapshots());
        outputs.requireFolder(out, AdapterOutput.FILES);
        try {
            return new Run(tuned, base).extract(out, outputs);
        } catch (InternalError e) {
            throw outputs.explain(e);
        }
    }

    /** One extraction on its way. */
    private final class Run {
        private final Checkpoint tuned;
        private final Checkpoint base;
        private final Binding baseBinding;
        private final TensorNames names;
        private final SequencedMap<String, TensorView> tunedTensors;
        private final SequencedMap<String, TensorView> baseTensors;
        private final List<Layer> layers = new ArrayList<>();
        private int unchanged;

        Run(Checkpoint tuned, Checkpoint base) {
            this.tuned = tuned;
            this.base = base;
            this.baseBinding = new Binding(base);
            this.names = baseBinding.names();
            this.tunedTensors = byCanonical(tuned);
            this.baseTensors = byCanonical(base);
        }

        private SequencedMap<String, TensorView> byCanonical(Checkpoint checkpoint) {
            SequencedMap<String, TensorView> tensors = new LinkedHashMap<>();
            checkpoint.tensors().forEach((name, tensor) -> tensors.put(names.canonical(name), tensor));
            return tensors;
        }

        Result extract(Path out, Outputs outputs) throws IOException {
            Set<String> whole = saved();
            List<Target> targets = targets(whole);
            List<AdapterLayers.Layer> found = new ArrayList<>();
            Map<String, Difference> differences = new LinkedHashMap<>();
            for (Target target : targets) {
                layer(target, differences).ifPresent(found::add);
            }
            if (found.isEmpty() && whole.isEmpty()) {
                throw new FormatException(
                        tuned.path(),
                        "has the same " + unchanged + " linear layers as " + base.path()
                                + ": there is nothing to extract");
            }
            AdapterOutput output = output(found.isEmpty() ? List.of(unchanged(whole)) : found, whole);
            measure(found, differences, output);
            output.writeFolder(out, outputs);
            Set<String> covered = new LinkedHashSet<>(whole);
            targets.forEach(target -> covered.add(target.canonical() + ".weight"));
            List<String> wholeNames = whole.stream()
                    .map(name -> tunedTensors.get(name))
                    .map(TensorView::name)
                    .toList();
            return new Result(layers, unchanged, wholeNames, leftOut(covered), output.rounding(), output.bytes());
        }

        /** PEFT reads no adapter without an adapted module: one whose update is zero. */
        private AdapterLayers.Layer unchanged(Set<String> whole) {
            Target target = linear().stream()
                    .filter(module -> !whole.contains(module + ".weight"))
                    .flatMap(module -> baseBinding.layer(module).stream())
                    .findFirst()
                    .orElseThrow(
                            () -> new FormatException(base.path(), "has no linear layer, of which an adapter has one"));
            Factors zero = new Factors(
                    new DoubleTensor(Shape.of(target.out(), 1), new double[target.out()]),
                    new DoubleTensor(Shape.of(1, target.in()), new double[target.in()]));
            return new AdapterLayers.Layer(spelled(target), zero, 1);
        }

        private Target spelled(Target target) {
            String module = target.tensor().substring(0, target.tensor().length() - ".weight".length());
            return new Target(module, target.canonical(), target.tensor(), target.out(), target.in(), target.storage());
        }

        /** The canonical names of the tensors that the adapter holds whole. */
        private Set<String> saved() {
            Set<String> whole = new LinkedHashSet<>();
            for (String module : saved) {
                List<String> tensors = tunedTensors.keySet().stream()
                        .filter(name -> name.startsWith(module + ".") || name.contains("." + module + "."))
                        .toList();
                if (tensors.isEmpty()) {
                    throw new FormatException(tuned.path(), "has no module called \"" + module + "\" to save");
                }
                whole.addAll(tensors);
            }
            return whole;
        }

        private List<Target> targets(Set<String> whole) {
            // the keys of the adapter spell modules as the base does
            Map<String, String> spelled = new LinkedHashMap<>();
            baseBinding.matrixModules().forEach((own, canonical) -> spelled.put(canonical, own));
            List<String> modules = Extraction.this.names.isEmpty() ? linear() : named();
            return modules.stream()
                    .filter(module -> !whole.contains(module + ".weight"))
                    .map(module -> spelled.getOrDefault(module, module))
                    .flatMap(module -> baseBinding.layer(module).stream())
                    .toList();
        }

        /** The matrices in numbered layers: the linear layers of the body. */
        private List<String> linear() {
            return names.matrices().stream()
                    .filter(TensorNames::isNumbered)
                    .filter(module -> !module.contains("embed") && !module.endsWith("relative_attention_bias"))
                    .toList();
        }

        private List<String> named() {
            Set<String> modules = new LinkedHashSet<>();
            for (String name : Extraction.this.names) {
                List<String> meant = baseBinding.matrixModules().entrySet().stream()
                        .filter(entry -> means(name, entry.getKey()) || means(name, entry.getValue()))
                        .map(Map.Entry::getValue)
                        .toList();
                if (meant.isEmpty()) {
                    throw new FormatException(base.path(), "no module with a matrix is called \"" + name + "\"");
                }
                modules.addAll(meant);
            }
            return List.copyOf(modules);
        }

        private static boolean means(String name, String module) {
            return module.equals(name) || module.endsWith("." + name);
        }

        private Optional<AdapterLayers.Layer> layer(Target target, Map<String, Difference> differences) {
            TensorView before = baseBinding.weight(target);
            TensorView after = tunedTensors.get(target.canonical() + ".weight");
            if (after == null) {
                throw new FormatException(tuned.path(), target.tensor(), "is missing, " + base.path() + " has it");
            }
            if (!after.shape().equals(before.shape())) {
                throw new FormatException(
                        after.file(),
                        after.name(),
                        "has shape " + after.shape() + ", in " + base.path() + " " + before.shape()
                                + ": these are not two versions of one model");
            }
            requireUnquantized(base, before);
            requireUnquantized(tuned, after);
            Difference difference = Difference.of(after, before);
            if (difference.isZero()) {
                unchanged++;
                return Optional.empty();
            }
            ValueCount.requireFinite(before.file(), before.name(), before);
            ValueCount.requireFinite(after.file(), after.name(), after);
            try {
                Factors factors = cut.of(difference).balancedFactors();
                differences.put(target.module(), difference);
                return Optional.of(
                        new AdapterLayers.Layer(target, target.transposed() ? factors.transposed() : factors, 1));
            } catch (ArithmeticException e) {
                throw new FormatException(after.file(), after.name(), "cannot be extracted: " + e.getMessage());
            }
        }

        private static void requireUnquantized(Checkpoint checkpoint, TensorView weight) {
            Quantization.of(checkpoint.tensors(), weight.name())
                    .filter(Quantization::scaled)
                    .ifPresent(quantization -> {
                        throw quantization.refusal(weight.file(), weight.name());
                    });
        }

        private AdapterOutput output(List<AdapterLayers.Layer> found, Set<String> whole) {
            List<Target> targets =
                    found.stream().map(AdapterLayers.Layer::target).toList();
            AdapterOutput output = AdapterOutput.on(
                    base.path().toString(),
                    targets,
                    LoraAdapter.targetNames(
                            targets.stream().map(Target::module).toList(),
                            List.copyOf(baseBinding.matrixModules().keySet())),
                    saved);
            if (!found.isEmpty()) {
                new LoraAdapter(found).into(output, tuned.path(), dtype);
            }
            baseBinding
                    .digests(targets)
                    .forEach((module, digest) -> output.metadata().put(Adapter.BASE_SHA256 + module, digest));
            for (String name : whole) {
                TensorView tensor = Objects.requireNonNull(tunedTensors.get(name));
                ValueCount.requireFinite(tensor.file(), tensor.name(), tensor);
                output.put(
                        tuned.path(), Adapter.MODULE_PREFIX + tensor.name(), DoubleTensor.of(tensor), tensor.dtype());
            }
            if (names.isTied() && staysTied()) {
                tie(found, output);
            }
            return output;
        }

        private boolean staysTied() {
            String head = names.head().orElseThrow() + ".weight";
            TensorView own = tunedTensors.get(head);
            TensorView table = tunedTensors.get(names.table().orElseThrow() + ".weight");
            return own == null || (table != null && own.data().mismatch(table.data()) == -1);
        }

        /** Says that the head follows the table, and holds the head as PEFT does then: the table's update, transposed. */
        private void tie(List<AdapterLayers.Layer> found, AdapterOutput output) {
            String table = names.table().orElseThrow() + ".weight";
            String head = names.spelled(names.head().orElseThrow());
            TensorView words = Objects.requireNonNull(tunedTensors.get(table));
            String saved = Adapter.MODULE_PREFIX + words.name();
            if (output.has(saved)) {
                output.config().put("ensure_weight_tying", true);
                output.put(
                        tuned.path(), Adapter.MODULE_PREFIX + head + ".weight", DoubleTensor.of(words), words.dtype());
            }
            for (AdapterLayers.Layer layer : found) {
                if ((layer.target().canonical() + ".weight").equals(table)) {
                    output.config().put("ensure_weight_tying", true);
                    Target own = new Target(
                            head,
                            head,
                            head + ".weight",
                            layer.target().in(),
                            layer.target().out(),
                            false);
                    new LoraAdapter(List.of(
                                    new AdapterLayers.Layer(own, layer.factors().transposed(), layer.scale())))
                            .tensorsInto(output, tuned.path(), dtype);
                }
            }
        }

        /** How far the layers as they are stored are from the differences. */
        private void measure(
                List<AdapterLayers.Layer> found, Map<String, Difference> differences, AdapterOutput output) {
            for (AdapterLayers.Layer layer : found) {
                Target target = layer.target();
                Factors stored = LoraAdapter.stored(layer, output);
                Difference difference = Objects.requireNonNull(differences.get(target.module()));
                Rows rest = difference.minus((target.transposed() ? stored.transposed() : stored).delta());
                layers.add(new Layer(
                        target.module(),
                        target.out(),
                        target.in(),
                        stored.rank(),
                        Math.sqrt(difference.squaredNorm()),
                        Math.sqrt(rest.squaredNorm()),
                        rest.largest()));
            }
        }

        private List<LeftOut> leftOut(Set<String> covered) {
            List<LeftOut> leftOut = new ArrayList<>();
            baseTensors.forEach((name, before) -> {
                TensorView after = tunedTensors.get(name);
                if (covered.contains(name)) {
                    return;
                }
                if (after == null) {
                    leftOut.add(new LeftOut(
                            before.name(), before.shape(), before.info().bytes(), Why.ONLY_IN_BASE, 0));
                } else {
                    changed(before, after).ifPresent(leftOut::add);
                }
            });
            tunedTensors.forEach((name, after) -> {
                if (!covered.contains(name) && !baseTensors.containsKey(name)) {
                    leftOut.add(new LeftOut(
                            after.name(), after.shape(), after.info().bytes(), Why.ONLY_IN_TUNED, 0));
                }
            });
            return leftOut;
        }

        private static Optional<LeftOut> changed(TensorView before, TensorView after) {
            long bytes = after.info().bytes();
            if (!after.shape().equals(before.shape())) {
                return Optional.of(new LeftOut(after.name(), after.shape(), bytes, Why.HAS_ANOTHER_SHAPE, 0));
            }
            boolean same = after.dtype() == before.dtype() && after.data().mismatch(before.data()) == -1;
            boolean floats = after.dtype().floatFormat().isPresent()
                    && before.dtype().floatFormat().isPresent();
            double largest = same || !floats ? 0 : Difference.of(after, before).largest();
            return same || (floats && largest == 0)
                    ? Optional.empty()
                    : Optional.of(new LeftOut(after.name(), after.shape(), bytes, Why.DIFFERS, largest));
        }
    }
}
