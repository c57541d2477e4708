package dev.adapt.formats.onnx.export;

import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;

/** A tensor of any type, read as float32. */
record InFloat32(Tensor tensor) implements Tensor {
    @Override
    public Shape shape() {
        return tensor.shape();
    }

    @Override
    public float[] toFloats() {
        return tensor.toFloats();
    }

    @Override
    public void read(long from, double[] into, int at, int count) {
        tensor.read(from, into, at, count);
    }
}
