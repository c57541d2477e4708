package dev.adapt.train.image;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.JsonDocument;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/**
 * How a picture becomes a model's pixel values: {@code preprocessor_config.json}, as transformers' image processors read
 * it; where a checkpoint has none, ViT's defaults (resize to the model's size, values from -1 to 1).
 *
 * @param shortest whether {@code width} is the length of the shorter edge, and the other keeps the proportion
 * @param crop the middle that is kept, width and height
 * @param size the square that the model takes
 */
@SuppressWarnings("ArrayRecordComponent")
public record Preprocessor(
        Path file,
        Optional<Resampling> resampling,
        int width,
        int height,
        boolean shortest,
        Optional<int[]> crop,
        double factor,
        double[] mean,
        double[] deviation,
        int channels,
        int size) {
    private static final String FILE = "preprocessor_config.json";

    /** The longest edge of a resized picture; models take hundreds of pixels. */
    private static final int MOST_EDGE = 4096;

    private static final int MOST_RESIZED = MOST_EDGE * MOST_EDGE;

    /** The largest pixel value; usual ones are within ±3, unnormalised ones up to 255. */
    private static final double MOST_VALUE = 1e6;

    /**
     * The preprocessing of a checkpoint.
     *
     * @param channels colours that the model takes, 1 or 3
     * @param size pixels of each edge that the model takes
     * @throws FormatException if the file asks for what is not supported
     */
    public static Preprocessor of(Path base, int channels, int size) throws IOException {
        Path path = base.resolve(FILE);
        return of(
                Files.exists(path)
                        ? JsonDocument.read(path)
                        : new JsonDocument(path, JsonNodeFactory.instance.objectNode()),
                channels,
                size);
    }

    /** The preprocessing that a document describes. */
    static Preprocessor of(JsonDocument config, int channels, int size) {
        JsonNode wanted = config.json().path("size");
        boolean shortest = wanted.hasNonNull("shortest_edge");
        int edge = pixels(config, "size", wanted, pixels(config, "size", wanted.path("shortest_edge"), size));
        boolean unknown = wanted.isObject() && !shortest && !(wanted.has("width") && wanted.has("height"));
        if (unknown || !(wanted.isObject() || isAbsent(wanted) || wanted.isNumber())) {
            throw config.wrong("size", "a number, or an object with shortest_edge, or with width and height");
        }
        Optional<Resampling> resampling = Optional.empty();
        if (config.flag("do_resize", true)) {
            double code = config.number("resample", 2);
            resampling =
                    Optional.of((code == Math.rint(code) ? Resampling.of((int) code) : Optional.<Resampling>empty())
                            .orElseThrow(() -> config.wrong("resample", "one of Pillow's filters, 0 to 5")));
        }
        boolean normalised = config.flag("do_normalize", true);
        Preprocessor preprocessor = new Preprocessor(
                config.path(),
                resampling,
                pixels(config, "size", wanted.path("width"), edge),
                pixels(config, "size", wanted.path("height"), edge),
                shortest,
                config.flag("do_center_crop", false) ? Optional.of(crop(config, size)) : Optional.empty(),
                config.flag("do_rescale", true) ? config.number("rescale_factor", 1 / 255.0) : 1,
                normalised ? numbers(config, "image_mean", channels, 0.5) : numbers(config, "", channels, 0),
                normalised ? numbers(config, "image_std", channels, 0.5) : numbers(config, "", channels, 1),
                channels,
                size);
        preprocessor.requireSaneValues(config);
        return preprocessor;
    }

    private static int[] crop(JsonDocument config, int size) {
        JsonNode cropped = config.json().path("crop_size");
        int square = pixels(config, "crop_size", cropped, size);
        return new int[] {
            pixels(config, "crop_size", cropped.path("width"), square),
            pixels(config, "crop_size", cropped.path("height"), square)
        };
    }

    private static boolean isAbsent(JsonNode node) {
        return node.isMissingNode() || node.isNull();
    }

    /** A length, or what its absence means; an object is none. */
    private static int pixels(JsonDocument config, String field, JsonNode node, int otherwise) {
        if (isAbsent(node) || node.isObject()) {
            return otherwise;
        }
        if (!node.isIntegralNumber() || !node.canConvertToInt() || node.intValue() < 1 || node.intValue() > MOST_EDGE) {
            throw config.wrong(field, "1 to " + MOST_EDGE + " pixels");
        }
        return node.intValue();
    }

    private static double[] numbers(JsonDocument config, String field, int count, double otherwise) {
        JsonNode list = config.json().path(field);
        double[] numbers = new double[count];
        for (int i = 0; i < count; i++) {
            JsonNode own = list.isArray() ? list.path(i) : list;
            if ((!own.isNumber() && !own.isMissingNode()) || (own.isMissingNode() && list.isArray())) {
                throw config.wrong(field, "a number for each of " + count + " colours");
            }
            numbers[i] = own.asDouble(otherwise);
        }
        return numbers;
    }

    /** What divides by zero, or makes numbers that no model was trained with, would train to NaN. */
    private void requireSaneValues(JsonDocument config) {
        if (!(factor > 0) || factor > MOST_VALUE) {
            throw config.wrong("rescale_factor", "a number above 0, usually 1/255");
        }
        for (int channel = 0; channel < channels; channel++) {
            if (!(deviation[channel] > 0) || deviation[channel] > MOST_VALUE) {
                throw config.wrong("image_std", "numbers above 0");
            }
            if (!(Math.abs(mean[channel]) <= MOST_VALUE)) {
                throw config.wrong("image_mean", "numbers of a usual size");
            }
            double dark = Math.abs(mean[channel] / deviation[channel]);
            double bright = Math.abs((255 * factor - mean[channel]) / deviation[channel]);
            if (Math.max(dark, bright) > MOST_VALUE) {
                throw new FormatException(
                        file,
                        "makes pixel values of up to " + Math.max(dark, bright) + " by rescale_factor, image_mean and"
                                + " image_std; expected at most " + MOST_VALUE);
            }
        }
    }

    /**
     * Writes the values of a picture, colour by colour, row by row.
     *
     * @param values of which {@code channels · size · size} from {@code from} on are written
     * @throws FormatException if what the file asks for is not the size that the model takes
     */
    public void apply(Picture picture, float[] values, int from) {
        Picture fitted = fitted(picture);
        int area = size * size;
        for (int i = 0; i < area; i++) {
            for (int channel = 0; channel < channels; channel++) {
                double value = channels == 1 ? grey(fitted, i) : fitted.pixels()[Picture.CHANNELS * i + channel] & 0xff;
                values[from + channel * area + i] = (float) ((value * factor - mean[channel]) / deviation[channel]);
            }
        }
    }

    private Picture fitted(Picture picture) {
        Picture resized = picture;
        if (resampling.isPresent()) {
            boolean wide = picture.width() > picture.height();
            int newWidth = shortest && wide ? other(width, picture.width(), picture.height()) : width;
            int newHeight = shortest && !wide ? other(height, picture.height(), picture.width()) : height;
            long largest = (long) newWidth * Math.max(newHeight, picture.height());
            if (newWidth < 1 || newHeight < 1 || largest > MOST_RESIZED) {
                throw new FormatException(
                        file,
                        "resizes an image of " + picture.width() + " × " + picture.height() + " pixels to " + newWidth
                                + " × " + newHeight + "; expected fewer pixels: the image is far from square");
            }
            resized = resampling.get().resize(picture, newWidth, newHeight);
        }
        if (crop.isPresent()) {
            int cropWidth = crop.get()[0];
            int cropHeight = crop.get()[1];
            resized = resized.crop(
                    Math.floorDiv(resized.width() - cropWidth, 2),
                    Math.floorDiv(resized.height() - cropHeight, 2),
                    cropWidth,
                    cropHeight);
        }
        if (resized.width() != size || resized.height() != size) {
            throw new FormatException(
                    file,
                    "makes images of " + resized.width() + " × " + resized.height() + " pixels, the model takes " + size
                            + " × " + size);
        }
        return resized;
    }

    /** The longer edge, in proportion. */
    private static int other(int shorter, int longEdge, int shortEdge) {
        return (int) Math.min(Integer.MAX_VALUE, (long) shorter * longEdge / shortEdge);
    }

    /** Brightness as Pillow's mode L has it (ITU-R 601-2). */
    private static int grey(Picture picture, int index) {
        int at = Picture.CHANNELS * index;
        int red = picture.pixels()[at] & 0xff;
        int green = picture.pixels()[at + 1] & 0xff;
        int blue = picture.pixels()[at + 2] & 0xff;
        return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
    }
}
