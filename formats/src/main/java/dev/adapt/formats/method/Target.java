package dev.adapt.formats.method;

import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;

/**
 * A matrix [out, in] of the base that an adapter changes: the weight of a linear layer, an embedding, one expert of a
 * stack, a convolution's kernel, a vector. A stack of experts is one target for each expert, all of one module.
 *
 * @param module its name as the adapter's keys spell it
 * @param canonical its canonical name in the base
 * @param tensor the base's tensor that holds it
 * @param storage how it lies in that tensor
 * @param biased whether its layer has a bias
 */
public record Target(String module, String canonical, String tensor, int out, int in, Storage storage, boolean biased) {
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

    /** Its values as [out, in], however they are stored. */
    public FloatTensor upright(Tensor stored) {
        FloatTensor weight = FloatTensor.of(stored);
        return transposed() ? weight.transposed() : weight;
    }

    /** The shape its values are stored in, as a matrix. */
    public Shape storedShape() {
        return transposed() ? Shape.of(in, out) : Shape.of(out, in);
    }

    /** The stack its module belongs to. */
    public Stack stack() {
        return Stack.of(module);
    }
}
