package dev.adapt.cli.fleet.task;

import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.checkpoint.ContentDigest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/** Compares files with what an earlier run recorded of them. */
public final class Recorded {
    private Recorded() {}

    /** Whether an adapter and its output are still what was recorded: by existence, size and digest. */
    public static boolean isStill(Item item) throws IOException {
        if (item.made().isEmpty() || !Files.exists(item.out()) || !hasSize(item)) {
            return false;
        }
        Item.Made made = item.made().get();
        return made.adapter().equals(adapter(item.adapter()))
                && made.output().equals(ContentDigest.of(item.out(), tensor -> Optional.empty()));
    }

    /** Sizes are compared before anything is read. */
    private static boolean hasSize(Item item) throws IOException {
        try (Stream<Path> files = Files.walk(item.out())) {
            long bytes = 0;
            for (Path file : (Iterable<Path>) files.filter(Files::isRegularFile)::iterator) {
                bytes += Files.size(file);
            }
            return bytes == item.made().orElseThrow().output().bytes();
        }
    }

    /** SHA-256 of an adapter's config and tensors, as files that both have names of. */
    public static String adapter(Path folder) throws IOException {
        List<Path> files = Stream.of("adapter_config.json", Adapter.FILE)
                .map(folder::resolve)
                .filter(Files::isRegularFile)
                .toList();
        return ContentDigest.of(folder, files, tensor -> Optional.empty()).sha256();
    }
}
