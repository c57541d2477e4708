package dev.adapt.cli.merge;

import dev.adapt.cli.options.Adapters;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.io.Snapshot;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.single.ModelPart;
import dev.adapt.formats.single.SingleFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Adapters whose tensors stay in their files until they are closed. */
record OpenAdapters(List<Source> sources) implements AutoCloseable {
    /**
     * An adapter folder, or a file.
     *
     * @param adapters one; of a file that holds modules of several methods, one for each method
     */
    record Source(SafetensorsFile tensors, List<Adapter> adapters) {}

    /**
     * Opens adapter folders and files, with what a user should know of them said on the error stream.
     *
     * @param only the model of which adapters are read from files that hold those of several
     */
    static OpenAdapters open(List<Path> paths, Checkpoint base, Optional<ModelPart> only) throws IOException {
        OpenAdapters adapters = new OpenAdapters(new ArrayList<>());
        try {
            for (Path path : paths) {
                adapters.sources.add(Files.isRegularFile(path) ? file(path, base, only) : folder(path));
            }
            return adapters;
        } catch (IOException | RuntimeException e) {
            adapters.close();
            throw e;
        }
    }

    @SuppressWarnings("MustBeClosedChecker") // closed with the others
    private static Source folder(Path path) throws IOException {
        Adapter.Opened opened = Adapter.open(path);
        Adapters.printNotes(opened.adapter());
        return new Source(opened.tensors(), List.of(opened.adapter()));
    }

    @SuppressWarnings("MustBeClosedChecker") // closed with the others
    private static Source file(Path path, Checkpoint base, Optional<ModelPart> only) throws IOException {
        SingleFile opened = SingleFile.open(path, Optional.of(base), only);
        return new Source(opened.file(), opened.adapters());
    }

    /** The states of their files before they were opened. */
    List<Snapshot> snapshots() {
        return sources.stream().map(each -> each.tensors().snapshot()).toList();
    }

    @Override
    public void close() {
        sources.forEach(each -> each.tensors().close());
    }
}
