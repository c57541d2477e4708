package dev.adapt.cli.options;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;

/** A command that can say what it did in figures, for {@code --json}. */
public interface Described {
    /** Adds the figures of the run that has just ended; none where it ended before it had any. */
    void describe(ObjectNode result) throws IOException;
}
