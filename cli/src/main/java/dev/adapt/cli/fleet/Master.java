package dev.adapt.cli.fleet;

import dev.adapt.formats.UsageException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Where workers run: on this machine.
 *
 * @param workers how many
 */
record Master(int workers) {
    private static final Pattern LOCAL = Pattern.compile("local\\[(\\d{1,4}|\\*)]");

    /**
     * Reads Spark's notation for this machine: {@code local[4]}, or {@code local[*]} for a worker on each core.
     *
     * @throws UsageException if it is something else
     */
    static Master parse(String text) {
        Matcher local = LOCAL.matcher(text);
        int workers = !local.matches()
                ? 0
                : local.group(1).equals("*")
                        ? Runtime.getRuntime().availableProcessors()
                        : Integer.parseInt(local.group(1));
        if (workers < 1) {
            throw new UsageException("--master: expected local[N] with N of at least 1, or local[*], found " + text);
        }
        return new Master(workers);
    }

    /** The cores that each worker has. */
    int threads() {
        return Math.max(1, Runtime.getRuntime().availableProcessors() / workers);
    }
}
