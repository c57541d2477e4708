package dev.adapt.verify.form;

import dev.adapt.formats.tensor.Tensor;
import dev.adapt.verify.compare.Equivalence;
import dev.adapt.verify.runner.RecordedOutputs;
import dev.adapt.verify.runner.Runner;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.UnaryOperator;

/**
 * A form that is loaded when its turn comes. A model on an engine takes 4 bytes or more for each parameter, so that not all
 * forms of a large one fit into memory together.
 *
 * @param outputs the names of the outputs that it can give, known before it is loaded
 */
record Turn(List<String> outputs, Loading loading) {
    Turn {
        outputs = List.copyOf(outputs);
    }

    /** Loads the form. */
    interface Loading {
        Loaded load() throws IOException;
    }

    /** A form on an engine, until it is closed. */
    record Loaded(Runner runner, Runnable close) {
        Loaded with(UnaryOperator<Runner> change) {
            return new Loaded(change.apply(runner), close);
        }
    }

    /** The same form, changed once it is loaded, with these outputs. */
    Turn with(List<String> others, UnaryOperator<Runner> change) {
        return new Turn(others, () -> loading.load().with(change));
    }

    /**
     * Runs all forms, each closed before the next is loaded.
     *
     * @param recorded gets the outputs of each that another gives too
     * @return the forms, in the order of the turns, which replay these outputs for the batches as long as {@code recorded} is
     *     open
     */
    static List<Runner> all(List<Turn> turns, List<Map<String, Tensor>> batches, RecordedOutputs recorded)
            throws IOException {
        List<List<String>> outputs = turns.stream().map(Turn::outputs).toList();
        List<Runner> ran = new ArrayList<>();
        for (int index = 0; index < turns.size(); index++) {
            ran.add(turns.get(index).run(batches, Equivalence.shared(outputs, index), recorded));
        }
        return ran;
    }

    // a method of its own: nothing holds the form once it returns
    private Runner run(List<Map<String, Tensor>> batches, Set<String> wanted, RecordedOutputs recorded)
            throws IOException {
        Loaded loaded = loading.load();
        try {
            return loaded.runner().running(recorded.of(loaded.runner().run(), batches, wanted));
        } finally {
            loaded.close().run();
        }
    }
}
