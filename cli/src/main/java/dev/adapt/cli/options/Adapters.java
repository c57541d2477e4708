package dev.adapt.cli.options;

import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.adapter.Adapter;
import java.io.IOException;
import java.nio.file.Path;

/** Reading adapters, with what a user should know of them said on the error stream. */
public final class Adapters {
    private Adapters() {}

    /** Reads an adapter folder. */
    public static Adapter read(Path folder) throws IOException {
        Adapter adapter = Adapter.read(folder);
        printNotes(adapter);
        return adapter;
    }

    /** Says what a user should know of an adapter. */
    public static void printNotes(Adapter adapter) {
        adapter.notes().forEach(Terminal::note);
    }
}
