package dev.adapt.formats.method;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.Optional;

/**
 * A matrix [out, in] of the base that an adapter changes: the weight of a linear layer, an embedding, one expert of a
 * stack, a convolution's kernel, a vector. A stack of experts is one target for each expert, all of one module.
 *
 * @param module its name as the adapter's keys spell it
 * @param canonical its canonical name in the base
 * @param tensor the base's tensor that holds it
 * @param storage how it lies in that tensor
 * @param biased whether its layer has a bias
 * @param parameter what the patterns of an adapter's config call it: the module, or its parameter where that is adapted
 * @param piece what of its module's update it gets
 */
public record Target(
        String module,
        String canonical,
        String tensor,
        int out,
        int in,
        Storage storage,
        boolean biased,
        String parameter,
        Piece piece) {
    /** A matrix that gets all of its module's update. */
    public Target(String module, String canonical, String tensor, int out, int in, Storage storage, boolean biased) {
        this(module, canonical, tensor, out, in, storage, biased, module, Piece.WHOLE);
    }

    /** A matrix of a layer with a bias. */
    public Target(String module, String canonical, String tensor, int out, int in, Storage storage) {
        this(module, canonical, tensor, out, in, storage, true);
    }

    /** A linear layer. */
    public Target(String module, String canonical, String tensor, int out, int in, boolean transposed) {
        this(module, canonical, tensor, out, in, new Storage.Linear(transposed));
    }

    /** Whether it is stored [in, out] and not [out, in]. */
    public boolean transposed() {
        return storage.transposed();
    }

    /** Whether it is an embedding. */
    public boolean embedding() {
        return storage instanceof Storage.Embedding;
    }

    /** The elements of its tensor before it: those of the experts before its own. */
    public long offset() {
        return storage instanceof Storage.Expert expert ? (long) expert.index() * out * in : 0;
    }

    /** Its shape [out, in]. */
    public Shape shape() {
        return Shape.of(out, in);
    }

    /** Why a rank does not fit where {@code most} is the largest; empty where it fits. */
    public Optional<String> unlessRank(int rank, int most) {
        return rank <= most
                ? Optional.empty()
                : Optional.of("is " + shape() + ", which takes a rank of 1 to " + most + ", not " + rank);
    }

    /** The same for a method whose rank is limited by the inputs alone. */
    public Optional<String> unlessInputsTake(int rank) {
        return rank <= in
                ? Optional.empty()
                : Optional.of("has " + in + " inputs, which take a rank of 1 to " + in + ", not " + rank);
    }

    /** Why a method of this title, which adapts linear layers only, does not fit; empty where it is one. */
    public Optional<String> unlessLinear(String title) {
        return storage instanceof Storage.Linear
                ? Optional.empty()
                : Optional.of("is not a linear layer, and " + title + " adapts only those");
    }

    /** Its values as [out, in], however they are stored. */
    public FloatTensor upright(Tensor stored) {
        FloatTensor weight = FloatTensor.of(stored);
        return transposed() ? weight.transposed() : weight;
    }

    /** Values [out, in] as they are stored, rounded once to float32. */
    public FloatTensor asStored(DoubleTensor upright) {
        FloatTensor rounded = new FloatTensor(upright.shape(), upright.toFloats());
        return transposed() ? rounded.transposed() : rounded;
    }

    /** The shape its values are stored in, as a matrix. */
    public Shape storedShape() {
        return transposed() ? Shape.of(in, out) : Shape.of(out, in);
    }

    /** Whether a parameter is adapted that is no module's weight, as a stack of experts is. */
    public boolean isParameter() {
        return !parameter.equals(module);
    }

    /** The stack its module belongs to. */
    public Stack stack() {
        return Stack.of(module);
    }
}
