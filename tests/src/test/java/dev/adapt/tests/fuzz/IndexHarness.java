package dev.adapt.tests.fuzz;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.checkpoint.ShardIndex;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/** What Jazzer runs on the reader of shard indexes: the input is the file. */
public final class IndexHarness {
    private static final Path FOLDER = Path.of("folder").toAbsolutePath();
    private static final Path FILE = FOLDER.resolve(ShardIndex.FILE);

    private IndexHarness() {}

    /** Jazzer's entry point. */
    public static void fuzzerTestOneInput(byte[] input) {
        ShardIndex index;
        try {
            index = ShardIndex.parse(FILE, input);
        } catch (FormatException declared) {
            return;
        }
        for (String name : index.files()) {
            Path shard = FOLDER.resolve(name).normalize();
            if (!FOLDER.equals(shard.getParent())) {
                throw new AssertionError("\"" + name + "\" leads out of the folder, to " + shard);
            }
        }
        ShardIndex again = ShardIndex.parse(FILE, index.text().getBytes(StandardCharsets.UTF_8));
        if (!again.weightMap().equals(index.weightMap()) || !again.totalSize().equals(index.totalSize())) {
            throw new AssertionError("written again it says " + again + ", not " + index);
        }
    }
}
