package dev.adapt.cli;

import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Lors;
import dev.adapt.formats.method.Target;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Option;

/** LORS's groups, with which its ranks become a method. */
final class GroupsOption {
    @Option(
            names = "--groups",
            split = ",",
            paramLabel = "K",
            description = "LORS: how many residuals of that rank a layer has, for all layers or for each (1)")
    private List<Integer> groups = new ArrayList<>();

    boolean isGiven() {
        return !groups.isEmpty();
    }

    /**
     * LORS of some ranks, one for all layers or one for each.
     *
     * @throws UsageException if a number of groups is not positive
     */
    Lors lors(List<Integer> ranks) {
        MethodOptions.requirePositive("--groups", groups);
        return new Lors(ranks, isGiven() ? groups : List.of(1));
    }

    /**
     * Makes sure that ranks and groups are those of a model's layers.
     *
     * @throws UsageException if they are not
     */
    static void requireFit(Lors method, List<Target> targets) {
        method.misfit(targets).ifPresent(fault -> {
            throw new UsageException("--rank and --groups: LORS " + fault);
        });
    }
}
