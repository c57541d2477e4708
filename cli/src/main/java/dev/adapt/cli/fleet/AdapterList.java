package dev.adapt.cli.fleet;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.Limit;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;
import java.util.stream.Stream;

/** The adapters of a fleet. */
final class AdapterList {
    private AdapterList() {}

    /**
     * The adapters that a folder or a list names, by the names of their folders. Whether they are adapters is seen later:
     * one that is broken is a failure of its own.
     *
     * @param source a folder, each folder in which is an adapter unless its name begins with a dot; or a text file with a
     *     folder on each line, relative to the file
     * @throws UsageException if two adapters would have one name
     */
    static SequencedMap<String, Path> read(Path source) throws IOException {
        List<Path> folders = Files.isDirectory(source) ? inside(source) : lines(source);
        if (folders.isEmpty()) {
            throw new FormatException(source, "names no adapter; give a folder of adapter folders, or a list of them");
        }
        SequencedMap<String, Path> adapters = new LinkedHashMap<>();
        for (Path folder : folders) {
            Path absolute = folder.toAbsolutePath().normalize();
            String name = String.valueOf(absolute.getFileName());
            if (name.startsWith(".") || name.equals(Manifest.FILE)) {
                throw new UsageException(
                        folder + ": no output can be called " + name + "; rename the adapter's folder");
            }
            Path other = adapters.put(name, absolute);
            if (other != null) {
                throw new UsageException("two adapters are called " + name + ", and so would be what they become: "
                        + other + " and " + absolute + "; rename one");
            }
        }
        return adapters;
    }

    private static List<Path> inside(Path source) throws IOException {
        try (Stream<Path> inside = Files.list(source)) {
            return inside.filter(Files::isDirectory)
                    .filter(folder -> !folder.getFileName().toString().startsWith("."))
                    .sorted()
                    .toList();
        }
    }

    private static List<Path> lines(Path source) throws IOException {
        Path home = source.toAbsolutePath().resolveSibling("");
        return InputFile.named(source)
                .text(Limit.DOCUMENT)
                .lines()
                .filter(line -> !line.isBlank())
                .map(line -> home.resolve(line.strip()))
                .toList();
    }
}
