package dev.adapt.formats.io;

import java.io.IOException;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The unfinished outputs of one command: {@code .NAME.RANDOM.tmp} beside the target, with a name that nobody can guess and
 * so nobody can plant a link under. They are deleted when the process is asked to end (SIGTERM, SIGINT, SIGHUP). After
 * SIGKILL or a power cut they stay: no other process can tell them surely from those of a command that still runs.
 */
final class Temporaries {
    private static final int RANDOM_BITS = 128;
    private static final Pattern NAME = Pattern.compile("\\.(.+)\\.[0-9a-z]{1,25}\\.tmp");

    /** File names end at 255 bytes, and a character has up to 4. */
    private static final int LONGEST_NAME = 50;

    /**
     * How long the ending process looks for temporaries: its other threads still run, and may create one whose name they
     * were just given, or files in a folder while it is deleted.
     */
    private static final Duration PATIENCE = Duration.ofMillis(300);

    private static final Duration PAUSE = Duration.ofMillis(10);

    private final boolean deletedOnSignal;
    private final Set<Path> unfinished = new LinkedHashSet<>();
    private @Nullable Thread hook;
    private boolean ending;

    /** @param deletedOnSignal false where the command itself ends in order when it is asked to end */
    Temporaries(boolean deletedOnSignal) {
        this.deletedOnSignal = deletedOnSignal;
    }

    /** The name under which a target is written; nothing exists there yet. */
    synchronized Path beside(Path target) throws IOException {
        requireRunning();
        Path parent = target.toAbsolutePath().getParent();
        Path name = target.getFileName();
        if (parent == null || name == null) {
            throw new IllegalArgumentException(target + " has no name");
        }
        String random = new BigInteger(RANDOM_BITS, new SecureRandom()).toString(36);
        Path temporary = parent.resolve("." + shortened(name) + "." + random + ".tmp");
        unfinished.add(temporary);
        if (hook == null && deletedOnSignal) {
            hook = Thread.ofPlatform().name("delete-unfinished").unstarted(this::deleteAll);
            try {
                Runtime.getRuntime().addShutdownHook(hook);
            } catch (IllegalStateException e) {
                ending = true;
                requireRunning();
            }
        }
        return temporary;
    }

    /** A step that gives a temporary its final name, or undoes that; never half done when the process is asked to end. */
    interface Step {
        void run() throws IOException;
    }

    synchronized void commit(Path temporary, Step rename) throws IOException {
        requireRunning();
        rename.run();
        forget(temporary);
    }

    /** Deletes a temporary that was not committed, if anything exists under its name. */
    synchronized void delete(Path temporary) throws IOException {
        requireRunning();
        if (exists(temporary)) {
            FileTree.delete(temporary);
        }
        forget(temporary);
    }

    private void forget(Path temporary) {
        unfinished.remove(temporary);
        if (unfinished.isEmpty() && hook != null) {
            try {
                Runtime.getRuntime().removeShutdownHook(hook);
            } catch (IllegalStateException e) {
                ending = true; // the process is asked to end already; the hook finds nothing to delete
            }
            hook = null;
        }
    }

    private static boolean exists(Path path) {
        return Files.exists(path, LinkOption.NOFOLLOW_LINKS);
    }

    /** Once the process ends, whoever wants to write waits for its end. */
    private void requireRunning() {
        while (ending) {
            try {
                new CountDownLatch(1).await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IllegalStateException("the process is ending", e);
            }
        }
    }

    private void deleteAll() {
        List<Path> left;
        synchronized (this) {
            ending = true;
            left = new ArrayList<>(unfinished);
        }
        long end = System.nanoTime() + PATIENCE.toNanos();
        left.removeIf(Temporaries::isDeleted);
        while (!left.isEmpty() && System.nanoTime() < end) {
            try {
                Thread.sleep(PAUSE);
            } catch (InterruptedException e) {
                return; // nobody interrupts a hook
            }
            left.removeIf(Temporaries::isDeleted);
        }
    }

    /** Whether something existed under the name and is gone. */
    private static boolean isDeleted(Path temporary) {
        try {
            if (!exists(temporary)) {
                return false; // it may be about to be created
            }
            FileTree.delete(temporary);
            return true;
        } catch (IOException e) {
            return false; // tried again
        }
    }

    private static String shortened(Path name) {
        String text = name.toString();
        return text.substring(
                0, text.offsetByCodePoints(0, Math.min(LONGEST_NAME, text.codePointCount(0, text.length()))));
    }

    /** Deletes the temporaries of these targets, whoever made them. */
    static void deleteLeft(Collection<Path> targets) throws IOException {
        Map<Path, Set<String>> names = new LinkedHashMap<>();
        for (Path target : targets) {
            Path parent = target.toAbsolutePath().getParent();
            Path name = target.getFileName();
            if (parent != null && name != null && Files.isDirectory(parent)) {
                names.computeIfAbsent(parent, absent -> new HashSet<>()).add(shortened(name));
            }
        }
        for (Map.Entry<Path, Set<String>> folder : names.entrySet()) {
            List<Path> left = new ArrayList<>();
            try (Stream<Path> inside = Files.list(folder.getKey())) {
                inside.forEach(path -> {
                    Matcher temporary = NAME.matcher(path.getFileName().toString());
                    if (temporary.matches() && folder.getValue().contains(temporary.group(1))) {
                        left.add(path);
                    }
                });
            }
            for (Path path : left) {
                FileTree.delete(path);
            }
        }
    }

    /** A path as the user knows it: with the final name of an output in place of its temporary one. */
    static Path shown(Path path) {
        Path shown = path.getRoot() == null ? Path.of("") : path.getRoot();
        for (Path part : path) {
            Matcher temporary = NAME.matcher(part.toString());
            shown = shown.resolve(temporary.matches() ? temporary.group(1) : part.toString());
        }
        return shown;
    }
}
