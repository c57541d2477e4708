package dev.adapt.formats;

import java.util.Optional;

/** The caller asked for something that cannot be done as asked: a setting's value, or two settings that exclude each other. */
public final class UsageException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final String setting;
    private final String problem;

    /** One sentence that says what was expected and what was found. */
    public UsageException(String problem) {
        super(problem);
        this.setting = "";
        this.problem = problem;
    }

    /**
     * A problem of one setting.
     *
     * @param setting its name, words joined by hyphens, and its value where that is the problem: {@code device cuda}
     * @param problem what was expected and what was found
     */
    public UsageException(String setting, String problem) {
        super(setting + ": " + problem);
        this.setting = setting;
        this.problem = problem;
    }

    /** The setting's name and value, if the problem is one of a setting. A command line has an option of that name. */
    public Optional<String> setting() {
        return setting.isEmpty() ? Optional.empty() : Optional.of(setting);
    }

    /** What was expected and what was found, without the setting. */
    public String problem() {
        return problem;
    }
}
