package dev.adapt.formats.io;

import dev.adapt.formats.UsageException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

/** The files and folders that a command reads, by their real paths, so that no output replaces one or lands in one. */
final class Inputs {
    /** How deep files are looked for in an input folder: an adapter may lie in a folder of folders. */
    private static final int DEPTH = 3;

    /** Exported models lie in the folder of the checkpoint that they were made of, which is not read from them. */
    private static final List<String> EXPORTS = List.of(".onnx", ".onnx_data", ".onnx_adapter");

    private final List<Input> inputs = new ArrayList<>();

    private record Input(Path named, Path real, boolean folder) {
        /** Whether a link in the folder leads to a file. */
        boolean linksTo(Path file) throws IOException {
            if (!folder) {
                return false;
            }
            try (Stream<Path> inside = Files.walk(real, DEPTH)) {
                for (Path link : (Iterable<Path>) inside.filter(Files::isSymbolicLink)::iterator) {
                    if (Files.exists(link) && link.toRealPath().equals(file)) {
                        return true;
                    }
                }
                return false;
            }
        }
    }

    void add(List<Path> paths) throws IOException {
        for (Path path : paths) {
            if (Files.exists(path)) {
                inputs.add(new Input(path, path.toRealPath(), Files.isDirectory(path)));
            }
        }
    }

    /**
     * Returns if an output file neither is an input nor replaces a file of an input folder.
     *
     * @throws UsageException if it does
     */
    void requireApart(Path target) throws IOException {
        boolean export = EXPORTS.stream().anyMatch(target.toString()::endsWith);
        for (Path real : realPaths(target)) {
            for (Input input : inputs) {
                boolean exists = Files.exists(real, LinkOption.NOFOLLOW_LINKS);
                boolean replaces = real.startsWith(input.real) && !export;
                if (real.equals(input.real) || (exists && (replaces || input.linksTo(real)))) {
                    throw new UsageException(target + " is an input of this command"
                            + (input.folder ? ", in " + input.named : "") + "; write to another place");
                }
            }
        }
    }

    /**
     * Returns if an output folder neither is an input nor lies in one or holds one.
     *
     * @throws UsageException if it does
     */
    void requireFolderApart(Path target) throws IOException {
        for (Path real : realPaths(target)) {
            for (Input input : inputs) {
                if (real.startsWith(input.real)) {
                    throw new UsageException(
                            target + " is the input " + input.named + " or lies in it; write to a place outside of it");
                }
                if (input.real.startsWith(real)) {
                    throw new UsageException(
                            target + " holds the input " + input.named + "; write to a place apart from it");
                }
            }
        }
    }

    /** Where a path leads to: its own place, and that of the file it is a link to. */
    static Set<Path> realPaths(Path path) throws IOException {
        Path absolute = path.toAbsolutePath();
        Path name = absolute.getFileName();
        Path parent = absolute.getParent();
        Set<Path> real = new HashSet<>();
        if (Files.exists(absolute)) {
            real.add(absolute.toRealPath());
        }
        if (parent != null && name != null && !name.toString().equals("..")) {
            real.add(realFolder(parent).resolve(name).normalize());
        }
        return real;
    }

    /** The real path of the part that exists, and the rest as it is. */
    private static Path realFolder(Path folder) throws IOException {
        Path name = folder.getFileName();
        Path parent = folder.getParent();
        if (Files.exists(folder) || parent == null || name == null) {
            return folder.toRealPath();
        }
        return realFolder(parent).resolve(name).normalize();
    }
}
