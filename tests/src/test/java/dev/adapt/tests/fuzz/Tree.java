package dev.adapt.tests.fuzz;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/** What lies in a folder and its subfolders: each file's bytes, and where each link leads. */
record Tree(Path root, Map<String, byte[]> files) {
    static Tree of(Path root) {
        Map<String, byte[]> files = new TreeMap<>();
        try (Stream<Path> all = Files.walk(root)) {
            for (Path path : (Iterable<Path>) all::iterator) {
                String name = root.relativize(path).toString();
                if (Files.isSymbolicLink(path)) {
                    files.put(name, Files.readSymbolicLink(path).toString().getBytes(StandardCharsets.UTF_8));
                } else if (Files.isRegularFile(path, LinkOption.NOFOLLOW_LINKS)) {
                    files.put(name, Files.readAllBytes(path));
                } else {
                    files.put(name + "/", new byte[0]);
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return new Tree(root, files);
    }

    /** Fails unless another look shows the same. */
    void requireSame(Tree later) {
        if (!files.keySet().equals(later.files.keySet())) {
            throw new AssertionError("there were " + files.keySet() + ", and now are " + later.files.keySet());
        }
        files.forEach((name, bytes) -> {
            if (!Arrays.equals(bytes, later.files.get(name))) {
                throw new AssertionError(name + " was changed");
            }
        });
    }

    /** The same without a file, or a folder and all in it. */
    Tree without(String name) {
        Map<String, byte[]> others = new TreeMap<>(files);
        others.keySet().removeIf(each -> each.equals(name) || each.startsWith(name + "/"));
        return new Tree(root, others);
    }

    /** The same with other bytes in a file. */
    Tree with(String name, byte[] bytes) {
        Map<String, byte[]> others = new TreeMap<>(files);
        others.put(name, bytes);
        return new Tree(root, others);
    }
}
