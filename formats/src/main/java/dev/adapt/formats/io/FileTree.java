package dev.adapt.formats.io;

import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** Lists and deletes what is in a folder. Links are not followed. */
public final class FileTree {
    private FileTree() {}

    /** All that is in a folder, each folder before what it holds. */
    public static List<Path> inside(Path folder) throws IOException {
        try (Stream<Path> tree = Files.walk(folder)) {
            return tree.skip(1).sorted().toList();
        }
    }

    /**
     * Deletes the files and folders of a list and nothing else.
     *
     * @param paths each folder before what it holds
     * @throws java.nio.file.DirectoryNotEmptyException if a folder holds what is not in the list
     */
    public static void deleteOnly(List<Path> paths) throws IOException {
        for (Path each : paths.reversed()) {
            Files.delete(each);
        }
    }

    /** Deletes a file or folder with all in it; links are deleted and not followed. */
    public static void delete(Path tree) throws IOException {
        Files.walkFileTree(tree, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                Files.deleteIfExists(file);
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path folder, @Nullable IOException failure) throws IOException {
                if (failure != null) {
                    throw failure;
                }
                Files.deleteIfExists(folder);
                return FileVisitResult.CONTINUE;
            }
        });
    }
}
