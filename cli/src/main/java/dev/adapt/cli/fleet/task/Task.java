package dev.adapt.cli.fleet.task;

import java.nio.file.Path;
import java.util.List;

/** What a worker is asked to do. It answers with one {@link Outcome} for each item, in any order. */
public sealed interface Task {
    /** The adapters it is about. */
    List<Item> items();

    /** How often these adapters were tried, with this time. */
    int attempt();

    /**
     * The same task for one of its adapters, tried once more.
     *
     * @param replace whether the output may exist by now: the worker that was tried before may have written it
     */
    Task again(Item one, boolean replace);

    /**
     * Merges adapters into one base, from one reading of it.
     *
     * @param threads tiles computed at a time
     * @param force whether to accept another base than the adapters were trained on
     * @param flush whether to wait until the disk has the results
     * @param overwrite whether to replace outputs that exist
     */
    record Merge(Path base, List<Item> items, int threads, boolean force, boolean flush, boolean overwrite, int attempt)
            implements Task {
        public Merge {
            items = List.copyOf(items);
        }

        @Override
        public Task again(Item one, boolean replace) {
            return new Merge(base, List.of(one), threads, force, flush, overwrite || replace, attempt + 1);
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
        public Task again(Item one, boolean replace) {
            return new Run(single, base, List.of(one), options, overwrite || replace, attempt + 1);
        }
    }

    /**
     * Writes one file of a merge.
     *
     * @param items one: the adapter, and the file to write in a folder that is not finished
     * @param file its place among the files of the merge
     * @param threads tiles computed at a time
     * @param force whether to accept another base than the adapter was trained on
     * @param flush whether to have the disk take the file while it is written
     */
    record Shard(Path base, List<Item> items, int file, int threads, boolean force, boolean flush, int attempt)
            implements Task {
        public Shard {
            items = List.copyOf(items);
        }

        @Override
        public Task again(Item one, boolean replace) {
            return new Shard(base, List.of(one), file, threads, force, flush, attempt + 1);
        }
    }
}
