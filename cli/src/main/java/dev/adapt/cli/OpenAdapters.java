package dev.adapt.cli;

import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.io.Snapshot;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Adapters whose tensors stay in their files until they are closed. */
record OpenAdapters(List<Adapter.Opened> opened) implements AutoCloseable {
    /** Opens adapter folders, with what a user should know of them said on the error stream. */
    static OpenAdapters open(List<Path> folders) throws IOException {
        OpenAdapters adapters = new OpenAdapters(new ArrayList<>());
        try {
            for (Path folder : folders) {
                Adapter.Opened opened = Adapter.open(folder);
                adapters.opened.add(opened);
                Adapters.printNotes(opened.adapter());
            }
            return adapters;
        } catch (IOException | RuntimeException e) {
            adapters.close();
            throw e;
        }
    }

    /** The states of their files before they were opened. */
    List<Snapshot> snapshots() {
        return opened.stream().map(each -> each.tensors().snapshot()).toList();
    }

    Adapter get(int index) {
        return opened.get(index).adapter();
    }

    @Override
    public void close() {
        opened.forEach(Adapter.Opened::close);
    }
}
