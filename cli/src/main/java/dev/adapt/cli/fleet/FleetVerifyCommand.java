package dev.adapt.cli.fleet;

import dev.adapt.cli.fleet.task.Single;
import java.io.IOException;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code adapt fleet verify}: whether the forms of each of many models give the same outputs. */
@Command(
        name = "verify",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Compares the base with each adapter beside it with other forms of the same model, as `adapt verify` does with the"
                    + " options after --. A report in JSON is written for each adapter."
        },
        footer = {
            "",
            "Example: adapt fleet verify --base base --adapters adapters --out-dir reports -- --merged merged/{}"
        })
final class FleetVerifyCommand implements Callable<Integer> {
    @Mixin
    private SingleOptions options = new SingleOptions();

    @Override
    public Integer call() throws IOException {
        return options.run(Single.VERIFY);
    }
}
