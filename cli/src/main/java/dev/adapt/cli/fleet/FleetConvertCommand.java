package dev.adapt.cli.fleet;

import dev.adapt.cli.fleet.task.Single;
import java.io.IOException;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code adapt fleet convert}: each of many adapters in another form. */
@Command(
        name = "convert",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {"Writes each adapter in another form, as `adapt convert` does with the options after --."},
        footer = {"", "Example: adapt fleet convert --base base --adapters adapters --out-dir plain -- --to lora"})
final class FleetConvertCommand implements Callable<Integer> {
    @Mixin
    private SingleOptions options = new SingleOptions();

    @Override
    public Integer call() throws IOException {
        return options.run(Single.CONVERT);
    }
}
