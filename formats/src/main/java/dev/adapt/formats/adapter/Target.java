package dev.adapt.formats.adapter;

import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;

/**
 * A linear layer, or an embedding, that an adapter adapts. An embedding is the linear layer of one-hot inputs: {@code in} is
 * the number of its rows, {@code out} their width, and its weight is stored [in, out].
 *
 * @param module its name as the adapter's keys spell it
 * @param canonical its canonical name in the architecture
 * @param tensor the base's tensor that holds its weight
 * @param transposed whether that tensor is stored [in, out], as Conv1D and embeddings do, and not [out, in]
 * @param embedding whether it is an embedding
 */
public record Target(
        String module, String canonical, String tensor, int out, int in, boolean transposed, boolean embedding) {
    /** A linear layer. */
    public Target(String module, String canonical, String tensor, int out, int in, boolean transposed) {
        this(module, canonical, tensor, out, in, transposed, false);
    }

    /** Its weight as [out, in], however it is stored. */
    public FloatTensor upright(Tensor stored) {
        FloatTensor weight = FloatTensor.of(stored);
        return transposed ? weight.transposed() : weight;
    }

    /** The shape its weight is stored in. */
    public Shape storedShape() {
        return transposed ? Shape.of(in, out) : Shape.of(out, in);
    }

    /** The stack its module belongs to. */
    public Stack stack() {
        return Stack.of(module);
    }
}
