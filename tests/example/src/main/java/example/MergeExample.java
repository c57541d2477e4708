package example;

import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.merge.Merger;
import java.io.IOException;
import java.nio.file.Path;

/** Merges an adapter into its base: a base, an adapter and a folder to write. */
final class MergeExample {
    private MergeExample() {}

    /** Takes the three paths. */
    public static void main(String[] paths) throws IOException {
        try (Checkpoint base = Checkpoint.open(Path.of(paths[0]))) {
            Merger.of(base, Adapter.read(Path.of(paths[1]))).merge(Path.of(paths[2]));
        }
        System.out.println("merged into " + paths[2]);
    }
}
