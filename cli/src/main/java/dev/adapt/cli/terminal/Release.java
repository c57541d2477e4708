package dev.adapt.cli.terminal;

/** What this build of adapt is called. */
public final class Release {
    public static final String VERSION = "0.1.0";

    private Release() {}
}
