package dev.adapt.verify.diagnosis;

import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.model.AdaptedWeights;
import dev.adapt.formats.names.TensorNames;
import dev.adapt.formats.onnx.OnnxContents;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.verify.Precision;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.SequencedSet;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Predicate;

/**
 * The weights of one form by canonical name, each read when it is asked for.
 *
 * @param get a weight; empty where the form has none of that name
 * @param noise how far a weight may be from what it should be because it was rounded
 */
public record NamedWeights(
        Set<String> names, Function<String, Optional<FloatTensor>> get, Function<String, Noise> noise) {
    /**
     * What rounding leaves.
     *
     * @param relative to the largest element of a tensor
     * @param absolute in any element
     */
    public record Noise(double relative, double absolute) {
        static Noise of(Precision precision) {
            return new Noise(
                    switch (precision) {
                        case FLOAT32 -> 0x1p-18;
                        case FLOAT16 -> 0x1p-9;
                        case BFLOAT16 -> 0x1p-6;
                        case INT8 -> 0x1p-5;
                    },
                    0);
        }

        double of(double largest) {
            return relative * largest + absolute;
        }
    }

    /** Those of a checkpoint. It must stay open meanwhile. */
    public static NamedWeights of(Checkpoint checkpoint) {
        TensorNames names = TensorNames.of(checkpoint);
        SequencedSet<String> all = new LinkedHashSet<>(names.tensors());
        if (names.isTied()) {
            all.add(names.head().orElseThrow() + ".weight");
        }
        return new NamedWeights(
                all,
                name -> view(checkpoint, names, name).map(FloatTensor::of),
                name -> Noise.of(view(checkpoint, names, name)
                        .map(TensorView::dtype)
                        .map(Precision::of)
                        .orElse(Precision.of(Dtype.F32))));
    }

    private static Optional<TensorView> view(Checkpoint checkpoint, TensorNames names, String name) {
        // a head that is not stored is the embedding table
        return names.find(name)
                .or(() -> names.isTied() && name.equals(names.head().orElseThrow() + ".weight")
                        ? names.find(names.table().orElseThrow() + ".weight")
                        : Optional.empty())
                .map(stored -> Objects.requireNonNull(checkpoint.tensors().get(stored)))
                .filter(tensor -> tensor.dtype().floatFormat().isPresent());
    }

    /** Those that a base with an adapter stands for. */
    public static NamedWeights of(AdaptedWeights adapted) {
        return new NamedWeights(adapted.names(), adapted::after, name -> Noise.of(Precision.FLOAT32));
    }

    /** Those of an ONNX model by their own names, as far as these tell what they are. The model must stay open meanwhile. */
    public static NamedWeights of(OnnxContents contents) {
        Map<String, OnnxContents.Weight> byName = new LinkedHashMap<>();
        contents.weights()
                .forEach(weight -> byName.putIfAbsent(weight.parameter().orElse(weight.name()), weight));
        return new NamedWeights(
                byName.keySet(),
                name -> Optional.ofNullable(byName.get(name)).map(contents::values),
                name -> Noise.of(Precision.FLOAT32));
    }

    /**
     * Those of an ONNX model under the names of others.
     *
     * @param storedAsIn whether the others store a matrix [in, out]
     */
    public static NamedWeights of(OnnxContents contents, NamedWeights expected, Predicate<String> storedAsIn) {
        return OnnxMatch.of(contents, expected, storedAsIn);
    }

    Optional<FloatTensor> of(String name) {
        return get.apply(name);
    }
}
