package dev.adapt.merge.plan;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;

/**
 * A run of a tensor's elements as a matrix, such as one expert of a stack or a convolution's kernel; read where it lies.
 *
 * @param first the element of {@code source} that it begins with
 */
record MatrixView(Tensor source, long first, Shape shape) implements Tensor {
    @Override
    public float[] toFloats() {
        double[] values = new double[Math.toIntExact(shape.elements())];
        read(0, values, 0, values.length);
        return new DoubleTensor(shape, values).toFloats();
    }

    @Override
    public void read(long from, double[] into, int at, int count) {
        source.read(first + from, into, at, count);
    }
}
