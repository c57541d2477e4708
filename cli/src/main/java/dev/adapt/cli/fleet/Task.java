package dev.adapt.cli.fleet;

import java.nio.file.Path;
import java.util.List;

/** What a worker is asked to do. It answers with one {@link Outcome} for each item, in any order. */
sealed interface Task {
    /** The adapters it is about. */
    List<Item> items();

    /** How often these adapters were tried, with this time. */
    int attempt();

    /** The same task for some of its adapters, tried once more. */
    Task again(List<Item> some);

    /**
     * Merges adapters into one base, from one reading of it.
     *
     * @param threads tiles computed at a time
     * @param force whether to accept another base than the adapters were trained on
     * @param flush whether to wait until the disk has the results
     * @param overwrite whether to replace outputs that exist
     */
    record Merge(
            Path base, List<Item> items, int threads, boolean force, boolean flush, boolean overwrite, int attempt)
            implements Task {
        public Merge {
            items = List.copyOf(items);
        }

        @Override
        public Task again(List<Item> some) {
            return new Merge(base, some, threads, force, flush, overwrite, attempt + 1);
        }
    }

    /**
     * Runs a command for each adapter.
     *
     * @param options of that command; {@code {}} in them stands for the adapter's name
     * @param overwrite whether to replace outputs that exist
     */
    record Run(Single single, Path base, List<Item> items, List<String> options, boolean overwrite, int attempt)
            implements Task {
        public Run {
            items = List.copyOf(items);
            options = List.copyOf(options);
        }

        @Override
        public Task again(List<Item> some) {
            return new Run(single, base, some, options, overwrite, attempt + 1);
        }
    }
}
