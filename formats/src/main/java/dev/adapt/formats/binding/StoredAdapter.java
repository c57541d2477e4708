package dev.adapt.formats.binding;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.saved.BaseChange;
import dev.adapt.formats.tensor.FloatFormat;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.formats.tensor.TensorDigest;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** Binds an adapter as its file holds it: finds, regenerates or derives each tensor that its method needs, and checks it. */
final class StoredAdapter {
    /** Elements of a tensor that is drawn from a seed: 8 GiB. */
    private static final long MOST_REGENERATED = 1L << 31;

    /** Names that a message lists. */
    private static final int MOST_NAMED = 4;

    private StoredAdapter() {}

    /**
     * A layer of the base.
     *
     * @param weight [out, in]
     * @param bias [out], where it has one
     */
    record BaseLayer(FloatTensor weight, Optional<FloatTensor> bias) {}

    /**
     * An adapter from a file, on its base.
     *
     * @param targets the layers of its modules
     * @param saved its saved tensors by canonical name
     * @param savedNames what its keys call those
     * @param baseDigests of the base at hand
     * @param base the layer of a target as the base has it, where there is a base
     * @param baseDtype of the base's targets, where there is a base
     * @param force whether to go on with another base than the adapter was trained on
     * @throws FormatException if a tensor is missing, has another shape than its layer needs, or the base or a regenerated
     *     tensor is not what the adapter was trained with
     */
    static BoundAdapter bind(
            Adapter adapter,
            List<Target> targets,
            Map<String, Tensor> saved,
            Map<String, String> savedNames,
            BaseChange change,
            Map<String, String> baseDigests,
            Optional<Function<Target, BaseLayer>> base,
            Optional<Dtype> baseDtype,
            boolean force) {
        if (!force) {
            BaseRecord.check(adapter, targets, baseDigests);
        }
        SequencedMap<String, Tensor> tensors = new LinkedHashMap<>();
        Map<String, Tensor> regenerated = new TreeMap<>();
        for (Target target : targets) {
            for (Part part : adapter.method().parts(target, targets)) {
                String key = BoundAdapter.key(part, target);
                if (tensors.containsKey(key)) {
                    continue;
                }
                Tensor found = adapter.parts().get(key);
                if (found == null && part.initial() instanceof Initial.Regenerated && !part.stored()) {
                    if (part.shape().elements() > MOST_REGENERATED) {
                        throw new FormatException(
                                adapter.file(),
                                part.name(),
                                "is not stored, and regenerated would have shape " + part.shape() + ", more than "
                                        + MOST_REGENERATED + " elements; correct r in " + AdapterConfig.FILE);
                    }
                    if (regenerated.isEmpty()) {
                        regenerated.putAll(regenerate(adapter, targets, baseDtype));
                    }
                    found = BoundAdapter.require(regenerated, part.id(target));
                } else if (part.initial() instanceof Initial.OfBase initial) {
                    found = ofBase(
                            adapter,
                            target,
                            initial,
                            base,
                            name -> BoundAdapter.require(
                                    tensors, BoundAdapter.key(adapter.method(), target, targets, name)));
                }
                Tensor sound = checked(adapter, key, found, part.shape());
                requireIntegers(adapter, key, sound, adapter.method().integerLimits(part.name(), target));
                tensors.put(key, sound);
            }
        }
        Set<String> unused = new LinkedHashSet<>(adapter.parts().keySet());
        unused.removeAll(tensors.keySet());
        if (!unused.isEmpty()) {
            throw new FormatException(
                    adapter.file(),
                    "holds " + unused.size() + " tensors that no adapted module uses: "
                            + unused.stream().limit(MOST_NAMED).collect(Collectors.joining(", "))
                            + (unused.size() > MOST_NAMED ? ", …" : ""));
        }
        BaseChange whole = HeadMetadata.of(adapter).map(change::with).orElse(change);
        return new BoundAdapter(adapter.method(), targets, tensors, saved, savedNames, whole, baseDigests);
    }

    private static FloatTensor ofBase(
            Adapter adapter,
            Target target,
            Initial.OfBase initial,
            Optional<Function<Target, BaseLayer>> base,
            Function<String, Tensor> part) {
        BaseLayer layer = base.orElseThrow(() -> new FormatException(
                        adapter.file(),
                        "holds a " + adapter.method().title() + " adapter, whose updates follow from the base too;"
                                + " give its base"))
                .apply(target);
        return initial.derivation()
                .of(part, layer.weight(), layer.bias())
                .orElseThrow(() -> new FormatException(adapter.file(), target.module(), initial.otherwise()));
    }

    /**
     * Makes sure that an adapter's method is defined on its layers, before anything is asked of the method there.
     *
     * @throws FormatException naming the first layer on which it is not
     */
    static void requireDefined(Adapter adapter, List<Target> targets) {
        for (Target target : targets) {
            adapter.method().undefined(target).ifPresent(reason -> {
                throw new FormatException(adapter.file(), target.module(), reason);
            });
        }
    }

    private static void requireIntegers(Adapter adapter, String key, Tensor integers, List<Integer> limits) {
        if (limits.isEmpty()) {
            return;
        }
        float[] values = integers.toFloats();
        int row = values.length / limits.size();
        for (int i = 0; i < values.length; i++) {
            int limit = limits.get(i / row);
            if (!(values[i] >= 0 && values[i] < limit)) {
                throw new FormatException(
                        adapter.file(),
                        key,
                        "expected integers from 0 to " + (limit - 1) + ", found " + (long) values[i]
                                + "; get the adapter again");
            }
        }
    }

    private static Tensor checked(Adapter adapter, String key, @Nullable Tensor found, Shape expected) {
        if (found == null) {
            throw new FormatException(adapter.file(), key, "is missing, expected a tensor of shape " + expected);
        }
        if (!found.shape().equals(expected)) {
            throw new FormatException(
                    adapter.file(), key, "has shape " + found.shape() + ", its layer in the base needs " + expected);
        }
        return found;
    }

    private static Map<String, Tensor> regenerate(Adapter adapter, List<Target> targets, Optional<Dtype> baseDtype) {
        Map<String, Long> elements = new LinkedHashMap<>();
        for (Target target : targets) {
            for (Part part : adapter.method().parts(target, targets)) {
                if (part.initial() instanceof Initial.Regenerated) {
                    elements.put(part.id(target), part.shape().elements());
                }
            }
        }
        long all = elements.values().stream().mapToLong(Long::longValue).sum();
        if (all > MOST_REGENERATED) {
            throw new FormatException(
                    adapter.file(),
                    "needs " + all + " elements that are drawn from a seed, more than " + MOST_REGENERATED
                            + "; correct r in " + AdapterConfig.FILE);
        }
        Map<String, Tensor> regenerated = new LinkedHashMap<>(adapter.method().regenerate(targets));
        boolean foreign = adapter.metadata().keySet().stream().noneMatch(key -> key.startsWith(Adapter.PART_SHA256));
        if (foreign && adapter.method().castsRegenerated()) {
            baseDtype
                    .filter(dtype -> dtype == Dtype.BF16 || dtype == Dtype.F16)
                    .ifPresent(dtype -> regenerated.replaceAll((name, tensor) -> rounded(tensor, dtype)));
        }
        regenerated.forEach((name, tensor) -> {
            String trained = adapter.metadata().get(Adapter.PART_SHA256 + name);
            String drawn = trained == null ? "" : TensorDigest.ofFloats(tensor);
            if (trained != null && !trained.equals(drawn)) {
                throw new FormatException(
                        adapter.file(),
                        name,
                        "regenerated has SHA-256 " + BaseRecord.brief(drawn) + ", the adapter was trained with "
                                + BaseRecord.brief(trained)
                                + "; try the other --projection-rounding, or get the adapter with its projection saved");
            }
        });
        return regenerated;
    }

    private static FloatTensor rounded(Tensor tensor, Dtype dtype) {
        float[] values = tensor.toFloats().clone();
        for (int i = 0; i < values.length; i++) {
            values[i] = dtype == Dtype.BF16
                    ? FloatFormat.fromBfloat16(FloatFormat.toBfloat16(values[i]))
                    : Float.float16ToFloat(Float.floatToFloat16(values[i]));
        }
        return new FloatTensor(tensor.shape(), values);
    }
}
