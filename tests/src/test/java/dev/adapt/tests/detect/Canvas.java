package dev.adapt.tests.detect;

import java.util.Random;

/** A square image of grey values, row-major, with bilinear access at any place. */
final class Canvas {
    private final int side;
    private final float[] values;

    private Canvas(int side, float[] values) {
        this.side = side;
        this.values = values;
    }

    /** A dark ground with a little noise. */
    static Canvas noise(int side, Random random) {
        float[] values = new float[side * side];
        float ground = 0.3f * random.nextFloat();
        for (int i = 0; i < values.length; i++) {
            values[i] = ground + 0.04f * (float) random.nextGaussian();
        }
        return new Canvas(side, values);
    }

    /** Which places a figure covers; x and y from -1 to 1, within its box. */
    interface Figure {
        boolean covers(double x, double y);
    }

    /** Paints a figure into the box around a centre, all in pixels. */
    void paint(Figure figure, double x, double y, double width, double height, float value) {
        for (int row = 0; row < side; row++) {
            for (int column = 0; column < side; column++) {
                double u = (column + 0.5 - x) / (width / 2);
                double v = (row + 0.5 - y) / (height / 2);
                if (Math.abs(u) <= 1 && Math.abs(v) <= 1 && figure.covers(u, v)) {
                    values[row * side + column] += value;
                }
            }
        }
    }

    /** Each pixel the mean of those up to {@code radius} rows and columns away. */
    Canvas blurred(int radius) {
        float[] means = new float[values.length];
        for (int row = 0; row < side; row++) {
            for (int column = 0; column < side; column++) {
                double sum = 0;
                for (int dy = -radius; dy <= radius; dy++) {
                    for (int dx = -radius; dx <= radius; dx++) {
                        sum += pixel(column + dx, row + dy);
                    }
                }
                means[row * side + column] = (float) (sum / ((2 * radius + 1) * (2 * radius + 1)));
            }
        }
        return new Canvas(side, means);
    }

    /** A pixel; beyond the edge, the one nearest. */
    private float pixel(int column, int row) {
        return values[Math.clamp(row, 0, side - 1) * side + Math.clamp(column, 0, side - 1)];
    }

    /** The value at a place in pixels, pixel centres lying at halves. */
    double at(double x, double y) {
        double left = Math.floor(x - 0.5);
        double top = Math.floor(y - 0.5);
        double u = x - 0.5 - left;
        double v = y - 0.5 - top;
        int column = (int) left;
        int row = (int) top;
        return (1 - v) * ((1 - u) * pixel(column, row) + u * pixel(column + 1, row))
                + v * ((1 - u) * pixel(column, row + 1) + u * pixel(column + 1, row + 1));
    }
}
