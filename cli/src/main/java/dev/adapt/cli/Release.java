package dev.adapt.cli;

/** What this build of adapt is called. */
final class Release {
    static final String VERSION = "0.1.0";

    private Release() {}
}
