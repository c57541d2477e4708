package dev.adapt.train.image;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.InputFile;
import dev.adapt.train.data.Lines;
import dev.adapt.train.data.Shown;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntFunction;
import java.util.stream.Stream;

/**
 * Labelled pictures: a folder with a folder of PNG or JPEG files per class; an IDX file of images
 * ({@code …images-idx3-ubyte}, plain or {@code .gz}) with its labels beside it ({@code …labels-idx1-ubyte}); or an
 * {@code .npz} with one array of images, bytes [n, height, width] or [n, height, width, 3], and one of labels, integers
 * [n] or [n, 1].
 *
 * @param labels of each picture
 * @param picture by index; a folder's pictures are decoded each time, for they may not fit in memory
 */
public record Pictures(Path path, List<String> labels, IntFunction<Picture> picture) {
    public Pictures {
        labels = List.copyOf(labels);
    }

    /**
     * Finds the pictures.
     *
     * @throws FormatException if the path holds none of the three
     */
    public static Pictures read(Path path) throws IOException {
        if (Files.isDirectory(path)) {
            return folder(path);
        }
        if (!Files.exists(path)) {
            throw new NoSuchFileException(path.toString());
        }
        if (Lines.named(path, ".npz")) {
            return npz(path);
        }
        if (Lines.named(path, "-ubyte", "-ubyte.gz")) {
            return idx(path);
        }
        throw new FormatException(
                path,
                "expected a folder with a folder of images per class, an IDX file (…images-idx3-ubyte) or an .npz");
    }

    private static Pictures folder(Path path) throws IOException {
        List<Path> files = new ArrayList<>();
        List<String> labels = new ArrayList<>();
        for (Path type : sorted(path)) {
            if (Files.isDirectory(type)) {
                for (Path file : sorted(type)) {
                    if (Lines.named(file, ".png", ".jpg", ".jpeg")) {
                        files.add(file);
                        labels.add(String.valueOf(type.getFileName()));
                    }
                }
            }
        }
        if (files.isEmpty()) {
            throw new FormatException(path, "holds no folders of PNG or JPEG files, one per class");
        }
        return new Pictures(path, labels, index -> {
            try {
                return Picture.read(InputFile.within(path, files.get(index)));
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        });
    }

    private static List<Path> sorted(Path folder) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.sorted().toList();
        }
    }

    private static Pictures idx(Path path) throws IOException {
        String name = String.valueOf(path.getFileName());
        Path labels =
                path.resolveSibling(name.replace("images-idx3", "labels-idx1").replace("images.idx3", "labels.idx1"));
        if (labels.equals(path)) {
            throw new FormatException(path, "expected the file of images, …images-idx3-ubyte or .gz");
        }
        return arrays(path, IdxFile.read(InputFile.named(path)), IdxFile.read(InputFile.found(labels)));
    }

    private static Pictures npz(Path path) throws IOException {
        try (NpzFile npz = NpzFile.open(path)) {
            List<NpzFile.Entry> images = new ArrayList<>();
            List<NpzFile.Entry> labels = new ArrayList<>();
            npz.entries().forEach(entry -> (entry.header().shape().size() >= 3 ? images : labels).add(entry));
            if (images.size() != 1 || labels.size() != 1) {
                throw new FormatException(
                        path,
                        "expected one array of images and one of labels, found [" + names(images) + "] and ["
                                + names(labels) + "]; give a file per part of the data set");
            }
            NpyHeader own = images.getFirst().header();
            requireImages(path, own.shape(), own.width());
            requireLabels(path, own.shape(), labels.getFirst().header().shape());
            return arrays(path, npz.read(images.getFirst()), npz.read(labels.getFirst()));
        }
    }

    private static String names(List<NpzFile.Entry> entries) {
        return Shown.of(entries.stream().map(NpzFile.Entry::name).toList());
    }

    private static void requireImages(Path path, List<Integer> shape, int width) {
        boolean colours = shape.size() == 4 && (shape.getLast() == 1 || shape.getLast() == 3);
        if (width != 1 || (shape.size() != 3 && !colours)) {
            throw new FormatException(
                    path,
                    "expected bytes [n, height, width] or [n, height, width, 3] for images, found " + shape + " of "
                            + 8 * width + " bits");
        }
        if ((long) shape.get(1) * shape.get(2) > Picture.MOST_PIXELS) {
            throw new FormatException(path, Picture.tooLarge(shape.get(2), shape.get(1)));
        }
    }

    private static void requireLabels(Path path, List<Integer> images, List<Integer> labels) {
        int count = images.getFirst();
        if (!labels.equals(List.of(count)) && !labels.equals(List.of(count, 1))) {
            throw new FormatException(path, "holds " + count + " images and labels of the shape " + labels);
        }
    }

    private static Pictures arrays(Path path, ByteArray images, ByteArray labels) {
        List<Integer> shape = images.shape();
        requireImages(path, shape, images.width());
        requireLabels(path, shape, labels.shape());
        int height = shape.get(1);
        int width = shape.get(2);
        int channels = shape.size() == 4 ? shape.get(3) : 1;
        List<String> names = new ArrayList<>();
        for (int i = 0; i < labels.rows(); i++) {
            names.add(labels.at(i));
        }
        int size = height * width * channels;
        return new Pictures(path, names, index -> Picture.of(height, width, channels, images.bytes(), index * size));
    }

    /** How many there are. */
    public int size() {
        return labels.size();
    }
}
