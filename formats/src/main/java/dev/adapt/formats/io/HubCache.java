package dev.adapt.formats.io;

import java.nio.file.Path;
import java.util.List;

/**
 * The layout of huggingface_hub's cache: {@code models--NAME/snapshots/REVISION/FILE} is a link to
 * {@code models--NAME/blobs/HASH}.
 */
final class HubCache {
    private static final List<String> PREFIXES = List.of("models--", "datasets--", "spaces--");

    private HubCache() {}

    /**
     * Whether a file is a blob of the repository whose snapshot the folder is or lies in.
     *
     * @param folder real path
     * @param file real path
     */
    static boolean isBlob(Path folder, Path file) {
        for (Path at = folder; at != null && at.getParent() != null; at = at.getParent()) {
            Path snapshots = at.getParent();
            Path repository = snapshots.getParent();
            if (snapshots.endsWith("snapshots") && repository != null && isRepository(repository)) {
                return repository.resolve("blobs").equals(file.getParent());
            }
        }
        return false;
    }

    private static boolean isRepository(Path folder) {
        String name = String.valueOf(folder.getFileName());
        return PREFIXES.stream().anyMatch(name::startsWith);
    }
}
