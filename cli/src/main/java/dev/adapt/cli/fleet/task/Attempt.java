package dev.adapt.cli.fleet.task;

import dev.adapt.cli.terminal.Failure;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.List;
import java.util.Optional;

/**
 * One attempt at a task; makes the answers for its adapters.
 *
 * @param number from 1
 * @param host the machine that makes it
 */
public record Attempt(int number, String host) {
    /** The first attempt on this machine, whose name may have to be asked for: make it once. */
    public static Attempt first() {
        return new Attempt(1, thisHost());
    }

    /** Another attempt on the same machine. */
    public Attempt numbered(int other) {
        return new Attempt(other, host);
    }

    private static String thisHost() {
        try {
            return InetAddress.getLocalHost().getHostName();
        } catch (UnknownHostException e) {
            return "unknown";
        }
    }

    /** The seconds since a time of {@link System#nanoTime}. */
    public static double seconds(long start) {
        return (System.nanoTime() - start) / 1e9;
    }

    /** The output of an earlier run is kept. */
    public Outcome kept(Item item, long start) {
        return outcome(item, Verdict.KEPT, item.made(), seconds(start), 0, "", List.of());
    }

    /** The output was written. */
    public Outcome made(Item item, Item.Made made, double seconds, List<String> notes) {
        return outcome(item, Verdict.OK, Optional.of(made), seconds, 0, "", notes);
    }

    /** The output was written, and says that a verification or a figure did not pass. */
    public Outcome different(Item item, Item.Made made, double seconds) {
        return outcome(item, Verdict.DIFFERENT, Optional.of(made), seconds, Failure.NOT_EQUAL, "", List.of());
    }

    /** The adapter could not be done. */
    public Outcome failed(Item item, Failure failure, double seconds) {
        return outcome(
                item, Verdict.FAILED, Optional.empty(), seconds, failure.exitCode(), failure.sentence(), List.of());
    }

    private Outcome outcome(
            Item item,
            Verdict verdict,
            Optional<Item.Made> made,
            double seconds,
            int exitCode,
            String error,
            List<String> notes) {
        return new Outcome(item.name(), item.adapter(), verdict, made, seconds, number, host, exitCode, error, notes);
    }
}
