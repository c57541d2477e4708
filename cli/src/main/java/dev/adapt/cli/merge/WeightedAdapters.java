package dev.adapt.cli.merge;

import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.binding.Untrained;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.method.random.Rounding;
import dev.adapt.formats.method.seeded.Vera;
import dev.adapt.merge.plan.MergePlan;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Adapters bound to a base, with the factors of their updates.
 *
 * @param untrained whether one of them changes nothing
 */
record WeightedAdapters(List<MergePlan.Weighted> adapters, boolean untrained) {
    /** Binds adapters; what a user should know of them is said on the error stream. */
    static WeightedAdapters bind(Checkpoint base, OpenAdapters opened, MergeOptions options) {
        List<MergePlan.Weighted> adapters = new ArrayList<>();
        boolean untrained = false;
        Binding binding = new Binding(base);
        for (int i = 0; i < opened.sources().size(); i++) {
            Path folder = options.adapters().get(i);
            List<Adapter> parts = opened.sources().get(i).adapters();
            if (!options.force() && !parts.getFirst().recordsBase()) {
                Terminal.note(MergeNotes.noBase(folder, base.path()));
            }
            List<BoundAdapter> bound = parts.stream()
                    .map(adapter -> binding.bind(rounded(adapter, options.rounding()), options.force()))
                    .toList();
            if (bound.stream().allMatch(Untrained::is)) {
                untrained = true;
                Terminal.note(MergeNotes.untrained(folder));
            }
            for (BoundAdapter each : bound) {
                adapters.add(new MergePlan.Weighted(each, options.weight(i)));
            }
        }
        return new WeightedAdapters(List.copyOf(adapters), untrained);
    }

    private static Adapter rounded(Adapter adapter, Optional<Rounding> rounding) {
        if (rounding.isEmpty()) {
            return adapter;
        }
        if (adapter.method() instanceof Vera vera) {
            return adapter.with(vera.rounded(rounding.get()));
        }
        throw new UsageException("--projection-rounding is VeRA's: this adapter is "
                + adapter.method().peftType());
    }
}
