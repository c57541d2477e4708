package dev.adapt.cli;

import picocli.CommandLine.Option;

/** The options of every command. */
final class GeneralOptions {
    @Option(names = "--quiet", description = "no progress and no notes on standard error; errors stay")
    private boolean quiet;

    /** Whether only errors go to standard error. */
    boolean quiet() {
        return quiet;
    }

    /** Turns colours off for the process, as the environment variable NO_COLOR does. */
    @Option(names = "--no-color", description = "no colours; NO_COLOR in the environment does the same")
    void noColor(boolean off) {
        if (off) {
            System.setProperty("picocli.ansi", "false");
        }
    }

    /** {@link Recipe} reads the option before picocli sees it. */
    static final class WithRecipe {
        @Option(
                names = Recipe.OPTION,
                paramLabel = "FILE.yaml",
                description = "take options from a YAML file, by their long names; what is given here comes first")
        void recipe(String file) {
            throw new IllegalStateException("the recipe " + file + " was not read");
        }
    }
}
