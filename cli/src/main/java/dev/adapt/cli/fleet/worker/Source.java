package dev.adapt.cli.fleet.worker;

import dev.adapt.cli.fleet.task.Item;
import dev.adapt.cli.merge.MergeNotes;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.binding.Untrained;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.merge.Merger;
import dev.adapt.merge.plan.MergePlan;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/**
 * An adapter that is open and fits the base.
 *
 * @param untrained whether its update is zero everywhere
 * @param said what a user should know of it before the merge, in sentences
 */
public record Source(Item item, Adapter.Opened opened, BoundAdapter bound, boolean untrained, List<String> said)
        implements AutoCloseable {
    /**
     * Opens an adapter and binds it to the base that was opened last.
     *
     * @param force whether to accept another base than it was trained on
     */
    @SuppressWarnings("MustBeClosedChecker") // closed with what is returned
    public static Source open(OpenBase opened, Checkpoint base, Item item, boolean force) throws IOException {
        Adapter.Opened adapter = Adapter.open(item.adapter());
        try {
            List<String> notes = new ArrayList<>(adapter.adapter().notes());
            if (!force && !adapter.adapter().recordsBase()) {
                notes.add(MergeNotes.noBase(item.adapter(), base.path()));
            }
            BoundAdapter bound = opened.binding().bind(adapter.adapter(), force);
            boolean untrained = Untrained.is(bound);
            if (untrained) {
                notes.add(MergeNotes.untrained(item.adapter()));
            }
            return new Source(item, adapter, bound, untrained, notes);
        } catch (RuntimeException e) {
            adapter.close();
            throw e;
        }
    }

    public Merger merger(Checkpoint base, Merger.Settings settings) {
        return new Merger(base, List.of(new MergePlan.Weighted(bound, 1)), settings);
    }

    /** What a user should know after the merge, in sentences. */
    public List<String> notes(Merger merger) {
        List<String> notes = new ArrayList<>(said);
        if (!untrained) {
            MergeNotes.loss(merger.lost()).ifPresent(notes::add);
        }
        return notes;
    }

    @Override
    public void close() {
        opened.close();
    }
}
