package dev.adapt.train;

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
record Preprocessor(
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

    /**
     * The preprocessing of a checkpoint.
     *
     * @param channels colours that the model takes, 1 or 3
     * @param size pixels of each edge that the model takes
     * @throws FormatException if the file asks for what is not supported
     */
    static Preprocessor of(Path base, int channels, int size) throws IOException {
        Path path = base.resolve(FILE);
        JsonDocument config = Files.exists(path)
                ? JsonDocument.read(path)
                : new JsonDocument(path, JsonNodeFactory.instance.objectNode());
        JsonNode wanted = config.json().path("size");
        int edge = wanted.path("shortest_edge").asInt(wanted.asInt(size));
        Optional<Resampling> resampling = Optional.empty();
        if (asked(config, "do_resize", true)) {
            int code = (int) config.number("resample", 2);
            resampling = Optional.of(
                    Resampling.of(code).orElseThrow(() -> config.wrong("resample", "one of Pillow's filters, 0 to 5")));
        }
        Optional<int[]> crop = Optional.empty();
        if (asked(config, "do_center_crop", false)) {
            JsonNode cropped = config.json().path("crop_size");
            int square = cropped.asInt(size);
            crop = Optional.of(new int[] {
                cropped.path("width").asInt(square), cropped.path("height").asInt(square)
            });
        }
        boolean normalised = asked(config, "do_normalize", true);
        return new Preprocessor(
                path,
                resampling,
                wanted.path("width").asInt(edge),
                wanted.path("height").asInt(edge),
                wanted.has("shortest_edge"),
                crop,
                asked(config, "do_rescale", true) ? config.number("rescale_factor", 1 / 255.0) : 1,
                normalised ? numbers(config, "image_mean", channels, 0.5) : numbers(config, "", channels, 0),
                normalised ? numbers(config, "image_std", channels, 0.5) : numbers(config, "", channels, 1),
                channels,
                size);
    }

    private static boolean asked(JsonDocument config, String field, boolean otherwise) {
        return config.json().path(field).asBoolean(otherwise);
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

    /**
     * Writes the values of a picture, colour by colour, row by row.
     *
     * @param values of which {@code channels · size · size} from {@code from} on are written
     * @throws FormatException if what the file asks for is not the size that the model takes
     */
    void apply(Picture picture, float[] values, int from) {
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
            int newWidth = shortest && wide ? (int) ((long) width * picture.width() / picture.height()) : width;
            int newHeight = shortest && !wide ? (int) ((long) height * picture.height() / picture.width()) : height;
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

    /** Brightness as Pillow's mode L has it (ITU-R 601-2). */
    private static int grey(Picture picture, int index) {
        int at = Picture.CHANNELS * index;
        int red = picture.pixels()[at] & 0xff;
        int green = picture.pixels()[at + 1] & 0xff;
        int blue = picture.pixels()[at + 2] & 0xff;
        return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
    }
}
