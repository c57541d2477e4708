package dev.adapt.formats.tensor;

/** A float64 tensor in memory, row-major; the values are shared, not copied. */
@SuppressWarnings("ArrayRecordComponent")
public record DoubleTensor(Shape shape, double[] values) implements Tensor {
    public DoubleTensor {
        if (shape.elements() != values.length) {
            throw new IllegalArgumentException(shape + " does not hold " + values.length + " values");
        }
    }

    /** The elements of any tensor, widened to float64. */
    public static DoubleTensor of(Tensor tensor) {
        if (tensor instanceof DoubleTensor same) {
            return same;
        }
        if (tensor instanceof LongTensor(Shape shape, long[] values)) {
            double[] wide = new double[values.length];
            for (int i = 0; i < wide.length; i++) {
                wide[i] = values[i];
            }
            return new DoubleTensor(shape, wide);
        }
        float[] narrow = tensor.toFloats();
        double[] wide = new double[narrow.length];
        for (int i = 0; i < wide.length; i++) {
            wide[i] = narrow[i];
        }
        return new DoubleTensor(tensor.shape(), wide);
    }

    @Override
    public void read(long from, double[] into, int at, int count) {
        System.arraycopy(values, Math.toIntExact(from), into, at, count);
    }

    @Override
    public float[] toFloats() {
        float[] out = new float[values.length];
        for (int i = 0; i < out.length; i++) {
            out[i] = (float) values[i];
        }
        return out;
    }
}
