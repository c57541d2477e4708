package dev.adapt.merge.lowrank;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.adapter.BoundAdapter;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.lowrank.Projection;
import dev.adapt.formats.method.lowrank.Vera;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.formats.tensor.TensorDigest;
import java.util.Arrays;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Supplier;

/** What becomes of VeRA's shared matrices A and B. */
public enum SharedMatrices {
    AS_THEY_ARE,
    /** They are drawn and stored. */
    SAVED,
    /** They are left to be drawn from the seed. */
    LEFT_OUT;

    private static final String A = "base_model.vera_A";
    private static final String B = "base_model.vera_B";

    /**
     * Changes a copy of an adapter.
     *
     * @param bound the adapter on its layers, asked only where matrices must be drawn
     * @throws UsageException if there is something to change and the adapter is not VeRA
     * @throws FormatException if the matrices would be left out and the seed does not draw them bit for bit
     */
    void apply(Adapter adapter, Supplier<BoundAdapter> bound, AdapterOutput output) {
        if (this == AS_THEY_ARE) {
            return;
        }
        if (!(adapter.method() instanceof Vera vera)) {
            throw new UsageException(
                    "only a VeRA adapter has a projection to save or to leave out, and this adapter is "
                            + adapter.method().peftType());
        }
        if (this == SAVED) {
            save(bound.get(), adapter, output);
        } else if (output.has(A) && output.has(B)) {
            leaveOut(vera, adapter, output);
        }
        output.config().put("save_projection", this == SAVED);
    }

    private static void save(BoundAdapter bound, Adapter adapter, AdapterOutput output) {
        for (Part part : bound.method().parts(bound.targets().getFirst(), bound.targets())) {
            String key = BoundAdapter.key(part, bound.targets().getFirst());
            if (part.scope() == Part.Scope.ALL && !output.has(key)) {
                Tensor drawn = Objects.requireNonNull(bound.tensors().get(key));
                output.put(adapter.file(), key, DoubleTensor.of(drawn), Dtype.F32);
            }
        }
    }

    private static void leaveOut(Vera vera, Adapter adapter, AdapterOutput output) {
        FloatTensor a = output.get(A);
        FloatTensor b = output.get(B);
        Projection.Rounding rounding = rounding(vera, a, b)
                .orElseThrow(() -> new FormatException(
                        adapter.file(),
                        A,
                        "and vera_B are not what projection_prng_key " + vera.key()
                                + " draws, bit for bit: without them the adapter would be another"));
        output.remove(A);
        output.remove(B);
        output.metadata().putAll(vera.rounded(rounding).metadata());
        output.metadata().put(BoundAdapter.PART_SHA256 + "vera_A", TensorDigest.ofFloats(a));
        output.metadata().put(BoundAdapter.PART_SHA256 + "vera_B", TensorDigest.ofFloats(b));
    }

    /** The rounding by which the seed draws these matrices, if one does. */
    private static Optional<Projection.Rounding> rounding(Vera vera, FloatTensor a, FloatTensor b) {
        int in = Math.toIntExact(a.shape().dim(1));
        int out = Math.toIntExact(b.shape().dim(0));
        return Arrays.stream(Projection.Rounding.values())
                .filter(rounding -> {
                    Projection drawn = Projection.draw(vera.key(), vera.rank(), in, out, rounding);
                    return Arrays.equals(drawn.a().toFloats(), a.values())
                            && Arrays.equals(drawn.b().toFloats(), b.values());
                })
                .findFirst();
    }
}
