package dev.adapt.formats.graph;

/**
 * A linear layer of a repeated block.
 *
 * @param name within the block
 * @param transposed whether its weight is stored [in, out], as GPT-2's Conv1D has it
 */
public record LinearLayer(String name, int out, int in, boolean biased, boolean transposed) {
    public LinearLayer(String name, int out, int in, boolean biased) {
        this(name, out, in, biased, false);
    }

    public void addTensors(Tensors tensors, String block) {
        tensors.add(block + name + ".weight", transposed ? in : out, transposed ? out : in);
        if (biased) {
            tensors.add(block + name + ".bias", out);
        }
    }

    /** Beside other layers of the block: x [.., in] to [.., out]. */
    public <T> T apply(Beside<T> beside, String block) {
        return transposed ? beside.conv1d(block + name) : beside.linear(block + name);
    }

    /** x [.., in] to [.., out]. */
    public <T> T apply(Layers<T> model, String block, T x) {
        return apply(model.beside(x), block);
    }
}
