package dev.adapt.formats.tensor;

/** A tensor of 64-bit integers in memory, row-major: token ids, masks. The values are shared, not copied. */
@SuppressWarnings("ArrayRecordComponent")
public record LongTensor(Shape shape, long[] values) implements Tensor {
    public LongTensor {
        if (shape.elements() != values.length) {
            throw new IllegalArgumentException(shape + " does not hold " + values.length + " values");
        }
    }

    @Override
    public void read(long from, double[] into, int at, int count) {
        for (int i = 0; i < count; i++) {
            into[at + i] = values[Math.toIntExact(from + i)];
        }
    }

    @Override
    public float[] toFloats() {
        float[] out = new float[values.length];
        for (int i = 0; i < out.length; i++) {
            out[i] = values[i];
        }
        return out;
    }
}
