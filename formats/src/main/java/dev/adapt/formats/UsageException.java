package dev.adapt.formats;

/** The user asked for something that cannot be done as asked: an option's value, or two options that exclude each other. */
public final class UsageException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** One sentence that names the option, what was expected and what was found. */
    public UsageException(String message) {
        super(message);
    }
}
