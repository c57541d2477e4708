package dev.adapt.cli;

import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;
import picocli.CommandLine.TypeConversionException;

/** The options of every command. */
final class GeneralOptions {
    @Option(names = "--quiet", description = "print errors only, no progress and no notes")
    private boolean quiet;

    /** Whether only errors go to standard error. */
    boolean quiet() {
        return quiet;
    }

    /** Turns colours off for the process, as the environment variable NO_COLOR does. */
    @Option(names = "--no-color", description = "no colours, as with NO_COLOR in the environment")
    void noColor(boolean off) {
        if (off) {
            System.setProperty("picocli.ansi", "false");
        }
    }

    /** {@link Recipe} takes the option out before picocli sees it, unless the file's name is another. */
    static final class WithRecipe {
        @Option(
                names = Recipe.OPTION,
                paramLabel = "FILE",
                converter = NoRecipe.class,
                description = "read options from this YAML file; the command line wins")
        void recipe(String file) {}
    }

    /** Refuses a file that is no recipe. */
    static final class NoRecipe implements ITypeConverter<String> {
        @Override
        public String convert(String file) {
            throw new TypeConversionException("expected a name that ends in .yaml or .yml, found \"" + file + "\"");
        }
    }
}
