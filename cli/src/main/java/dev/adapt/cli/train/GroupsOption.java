package dev.adapt.cli.train;

import dev.adapt.formats.UsageException;
import dev.adapt.formats.lors.LorsLayout;
import dev.adapt.formats.method.Target;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Option;

/** LORS's groups, which with its ranks make its layout. */
final class GroupsOption {
    @Option(
            names = "--groups",
            split = ",",
            paramLabel = "K",
            description = "LORS: how many residuals of that rank a layer has, for all layers or for each (default: 1)")
    private List<Integer> groups = new ArrayList<>();

    boolean isGiven() {
        return !groups.isEmpty();
    }

    /**
     * LORS of some ranks, one for all layers or one for each.
     *
     * @throws UsageException if a number of groups is not positive
     */
    LorsLayout lors(List<Integer> ranks) {
        MethodOptions.requirePositive("--groups", groups);
        return new LorsLayout(ranks, isGiven() ? groups : List.of(1));
    }

    /**
     * Makes sure that ranks and groups are those of a model's layers.
     *
     * @throws UsageException if they are not
     */
    static void requireFit(LorsLayout layout, List<Target> targets) {
        layout.misfit(targets).ifPresent(fault -> {
            throw new UsageException("--rank and --groups: LORS " + fault);
        });
    }
}
