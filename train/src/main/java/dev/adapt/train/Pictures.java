package dev.adapt.train;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.InputFile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
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
record Pictures(Path path, List<String> labels, IntFunction<Picture> picture) {
    Pictures {
        labels = List.copyOf(labels);
    }

    /**
     * Finds the pictures.
     *
     * @throws FormatException if the path holds none of the three
     */
    static Pictures read(Path path) throws IOException {
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
        return arrays(path, ByteArray.idx(path), ByteArray.idx(labels));
    }

    private static Pictures npz(Path path) throws IOException {
        Map<String, ByteArray> images = new LinkedHashMap<>();
        Map<String, ByteArray> labels = new LinkedHashMap<>();
        ByteArray.npz(path).forEach((name, array) -> {
            int axes = array.shape().length;
            (axes >= 3 ? images : labels).put(name, array);
        });
        if (images.size() != 1 || labels.size() != 1) {
            throw new FormatException(
                    path,
                    "expected one array of images and one of labels, found " + images.keySet() + " and "
                            + labels.keySet() + "; give a file per part of the data set");
        }
        return arrays(
                path,
                images.values().iterator().next(),
                labels.values().iterator().next());
    }

    private static Pictures arrays(Path path, ByteArray images, ByteArray labels) {
        int[] shape = images.shape();
        int channels = shape.length == 4 ? shape[3] : 1;
        if (images.width() != 1 || shape.length < 3 || shape.length > 4 || (channels != 1 && channels != 3)) {
            throw new FormatException(path, "expected bytes [n, height, width] or [n, height, width, 3] for images");
        }
        if (labels.elements() != images.rows() || labels.rows() != images.rows()) {
            throw new FormatException(path, "holds " + images.rows() + " images and " + labels.elements() + " labels");
        }
        List<String> names = new ArrayList<>();
        for (int i = 0; i < labels.rows(); i++) {
            names.add(Long.toString(labels.at(i)));
        }
        int size = shape[1] * shape[2] * channels;
        return new Pictures(
                path, names, index -> Picture.of(shape[1], shape[2], channels, images.bytes(), index * size));
    }

    /** How many there are. */
    int size() {
        return labels.size();
    }
}
