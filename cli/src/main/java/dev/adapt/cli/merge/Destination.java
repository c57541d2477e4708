package dev.adapt.cli.merge;

import java.nio.file.Path;

/**
 * Where a merged checkpoint goes.
 *
 * @param path the folder or file to write
 * @param named what the user is told of: another file, where the checkpoint is only a step towards that
 */
record Destination(Path path, Path named) {
    static Destination of(Path path) {
        return new Destination(path, path);
    }
}
