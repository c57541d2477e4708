package dev.adapt.cli.fleet;

import dev.adapt.cli.fleet.task.Single;
import java.io.IOException;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code adapt fleet evaluate}: how good the predictions with each of many adapters are. */
@Command(
        name = "evaluate",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Predicts the texts of a labelled file with the base and each adapter beside it, as `adapt evaluate` does with the"
                    + " options after --. The figures are written as JSON for each adapter."
        },
        footer = {
            "",
            "Example: adapt fleet evaluate --base base --adapters adapters --out-dir figures -- --data test.tsv"
        })
final class FleetEvaluateCommand implements Callable<Integer> {
    @Mixin
    private SingleOptions options = new SingleOptions();

    @Override
    public Integer call() throws IOException {
        return options.run(Single.EVALUATE);
    }
}
