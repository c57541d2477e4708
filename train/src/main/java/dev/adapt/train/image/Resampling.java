package dev.adapt.train.image;

import java.util.Optional;

/**
 * How a picture gets another size, as Pillow's {@code Image.resize} does it to the bit: a filter as wide as the reduction
 * asks (which is what keeps edges from aliasing), first along rows, then along columns, in fixed point with 22 bits.
 */
enum Resampling {
    NEAREST(0, 0),
    LANCZOS(1, 3),
    BILINEAR(2, 1),
    BICUBIC(3, 2),
    BOX(4, 0.5),
    HAMMING(5, 1);

    private static final int PRECISION = 22;

    private final int code;
    private final double support;

    Resampling(int code, double support) {
        this.code = code;
        this.support = support;
    }

    /** The filter that preprocessor_config.json gives by Pillow's number. */
    static Optional<Resampling> of(int code) {
        for (Resampling filter : values()) {
            if (filter.code == code) {
                return Optional.of(filter);
            }
        }
        return Optional.empty();
    }

    private double weight(double at) {
        double x = Math.abs(at);
        return switch (this) {
            case NEAREST -> throw new IllegalStateException("has no weights");
            case BOX -> at > -0.5 && at <= 0.5 ? 1 : 0;
            case BILINEAR -> x < 1 ? 1 - x : 0;
            case HAMMING ->
                x == 0 ? 1 : x >= 1 ? 0 : Math.sin(x * Math.PI) / (x * Math.PI) * (0.54 + 0.46 * Math.cos(x * Math.PI));
            // Keys' cubic with a = -1/2
            case BICUBIC -> x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
            case LANCZOS -> x < 3 ? sinc(x) * sinc(x / 3) : 0;
        };
    }

    private static double sinc(double x) {
        return x == 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
    }

    /** The picture in another size. */
    Picture resize(Picture picture, int width, int height) {
        if (this == NEAREST) {
            return nearest(picture, width, height);
        }
        Picture wide = width == picture.width() ? picture : rows(picture, width);
        return height == picture.height() ? wide : transposed(rows(transposed(wide), height));
    }

    private static Picture nearest(Picture picture, int width, int height) {
        byte[] pixels = new byte[width * height * Picture.CHANNELS];
        for (int y = 0; y < height; y++) {
            int fromY = (int) ((y + 0.5) * picture.height() / height);
            for (int x = 0; x < width; x++) {
                int fromX = (int) ((x + 0.5) * picture.width() / width);
                int from = (fromY * picture.width() + fromX) * Picture.CHANNELS;
                System.arraycopy(picture.pixels(), from, pixels, (y * width + x) * Picture.CHANNELS, Picture.CHANNELS);
            }
        }
        return new Picture(width, height, pixels);
    }

    /** Resizes along rows. */
    private Picture rows(Picture picture, int width) {
        double scale = (double) picture.width() / width;
        double stretch = Math.max(scale, 1);
        byte[] pixels = new byte[width * picture.height() * Picture.CHANNELS];
        for (int x = 0; x < width; x++) {
            double centre = (x + 0.5) * scale;
            int from = Math.max(0, (int) (centre - support * stretch + 0.5));
            int to = Math.min(picture.width(), (int) (centre + support * stretch + 0.5));
            int[] weights = weights(from, to, centre, stretch);
            for (int row = 0; row < picture.height(); row++) {
                for (int channel = 0; channel < Picture.CHANNELS; channel++) {
                    int sum = 1 << (PRECISION - 1);
                    for (int i = from; i < to; i++) {
                        int value = picture.pixels()[(row * picture.width() + i) * Picture.CHANNELS + channel] & 0xff;
                        sum += value * weights[i - from];
                    }
                    pixels[(row * width + x) * Picture.CHANNELS + channel] =
                            (byte) Math.clamp(sum >> PRECISION, 0, 255);
                }
            }
        }
        return new Picture(width, picture.height(), pixels);
    }

    /** In fixed point, of sum 1. */
    private int[] weights(int from, int to, double centre, double stretch) {
        double[] exact = new double[to - from];
        double sum = 0;
        for (int i = from; i < to; i++) {
            exact[i - from] = weight((i - centre + 0.5) / stretch);
            sum += exact[i - from];
        }
        int[] weights = new int[exact.length];
        for (int i = 0; i < weights.length; i++) {
            double fixed = exact[i] / sum * (1 << PRECISION);
            weights[i] = (int) (fixed < 0 ? fixed - 0.5 : fixed + 0.5);
        }
        return weights;
    }

    private static Picture transposed(Picture picture) {
        byte[] pixels = new byte[picture.pixels().length];
        for (int y = 0; y < picture.height(); y++) {
            for (int x = 0; x < picture.width(); x++) {
                System.arraycopy(
                        picture.pixels(),
                        (y * picture.width() + x) * Picture.CHANNELS,
                        pixels,
                        (x * picture.height() + y) * Picture.CHANNELS,
                        Picture.CHANNELS);
            }
        }
        return new Picture(picture.height(), picture.width(), pixels);
    }
}
