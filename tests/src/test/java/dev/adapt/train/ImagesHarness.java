package dev.adapt.train;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.InputFile;
import dev.adapt.train.image.ByteArray;
import dev.adapt.train.image.IdxFile;
import dev.adapt.train.image.NpyHeader;
import dev.adapt.train.image.Picture;
import dev.adapt.train.image.Pictures;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

/**
 * What Jazzer runs on the readers of images: the first byte says which, the others are the file, or the header of an npy
 * array.
 */
public final class ImagesHarness {
    private static final Path NPZ = file(".npz");
    private static final Path IMAGE = file(".png");

    private ImagesHarness() {}

    private static Path file(String ending) {
        try {
            Path file = Files.createTempFile("fuzzed", ending);
            file.toFile().deleteOnExit();
            return file;
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Jazzer's entry point. */
    public static void fuzzerTestOneInput(byte[] input) throws IOException {
        if (input.length == 0) {
            return;
        }
        byte[] content = Arrays.copyOfRange(input, 1, input.length);
        try {
            switch (input[0] & 3) {
                case 0 -> {
                    if (NpyHeader.parse(NPZ, "a", content).shape().stream().anyMatch(size -> size < 0)) {
                        throw new AssertionError("a negative size");
                    }
                }
                case 1 -> {
                    ByteArray array = IdxFile.read(NPZ, new ByteArrayInputStream(content), content.length);
                    if (array.at(array.bytes().length - 1).isEmpty()) {
                        throw new AssertionError("no last element");
                    }
                }
                case 2 -> {
                    Pictures pictures = Pictures.read(Files.write(NPZ, content));
                    Picture last = pictures.picture().apply(pictures.size() - 1);
                    if (last.pixels().length != Picture.CHANNELS * last.width() * last.height()) {
                        throw new AssertionError("pixels of another size: " + last);
                    }
                }
                default -> Picture.read(InputFile.named(Files.write(IMAGE, content)));
            }
        } catch (FormatException declared) {
            if (!declared.getMessage().startsWith(NPZ.toString())
                    && !declared.getMessage().startsWith(IMAGE.toString())) {
                throw new AssertionError("names no file", declared);
            }
        }
    }
}
