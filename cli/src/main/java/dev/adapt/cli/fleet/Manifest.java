package dev.adapt.cli.fleet;

import dev.adapt.cli.fleet.task.Item;
import dev.adapt.cli.fleet.task.Outcome;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.io.JsonDocument;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/**
 * {@code manifest.jsonl}: what became of each adapter, in the order in which the answers came. The first line is the
 * {@link ManifestHeader}; of several lines of one adapter the last counts. It is locked while a fleet runs.
 */
final class Manifest implements AutoCloseable {
    /** Its name in the output folder. */
    static final String FILE = "manifest.jsonl";

    private final Path path;
    private final FileChannel channel;
    private final Map<String, Outcome> recorded = new HashMap<>();

    private Manifest(Path path, FileChannel channel) {
        this.path = path;
        this.channel = channel;
    }

    /**
     * Begins a manifest, or goes on with one.
     *
     * @throws FileAlreadyExistsException if there is one and the run does not go on with it
     * @throws UsageException if another fleet writes it, or it is of another run
     * @throws FormatException if it cannot be understood
     */
    @SuppressWarnings("MustBeClosedChecker") // closed with the manifest
    static Manifest open(Path folder, ManifestHeader header, boolean resume) throws IOException {
        Path path = folder.resolve(FILE);
        if (!resume && Files.exists(path)) {
            throw new FileAlreadyExistsException(
                    path.toString(), null, "exists already; give --resume to go on with its run, or another --out-dir");
        }
        Files.createDirectories(folder);
        Manifest manifest = new Manifest(
                path,
                FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE));
        try {
            manifest.lock();
            manifest.dropUnfinishedLine();
            manifest.read(header);
            return manifest;
        } catch (IOException | RuntimeException e) {
            manifest.close();
            throw e;
        }
    }

    private void lock() throws IOException {
        try {
            FileLock lock = channel.tryLock();
            if (lock != null) {
                return;
            }
        } catch (OverlappingFileLockException e) {
            throw new UsageException(path + " is being written by another fleet of this process; wait for its end");
        }
        throw new UsageException(path + " is being written by another fleet; wait for its end, or give another folder");
    }

    /** A fleet that was killed may have written a part of its last line. */
    private void dropUnfinishedLine() throws IOException {
        long end = channel.size();
        ByteBuffer last = ByteBuffer.allocate(1);
        while (end > 0 && channel.read(last.clear(), end - 1) == 1 && last.get(0) != '\n') {
            end--;
        }
        channel.truncate(end);
        channel.position(end);
    }

    private void read(ManifestHeader header) throws IOException {
        if (channel.size() == 0) {
            write(header.line());
            return;
        }
        try (BufferedReader lines = Files.newBufferedReader(path)) {
            String first = lines.readLine();
            if (!header.line().equals(first)) {
                throw new UsageException(path + " is of another run, " + first + ", and this one is " + header.line()
                        + "; give the same command, base and options, or another --out-dir");
            }
            int number = 1;
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                number++;
                Path place = Path.of(path + ", line " + number);
                Outcome outcome = Outcome.of(JsonDocument.parse(place, line.getBytes(StandardCharsets.UTF_8)));
                recorded.put(outcome.name(), outcome);
            }
        }
    }

    Path path() {
        return path;
    }

    /** What an earlier run made of an adapter, if that was recorded. */
    Optional<Item.Made> made(String name) {
        return Optional.ofNullable(recorded.get(name)).flatMap(Outcome::made);
    }

    /** What an earlier run recorded of an adapter. */
    Optional<Outcome> outcome(String name) {
        return Optional.ofNullable(recorded.get(name));
    }

    /** Adds a line. */
    void add(Outcome outcome) {
        try {
            write(outcome.line());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void write(String line) throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap((line + "\n").getBytes(StandardCharsets.UTF_8));
        while (bytes.hasRemaining()) {
            channel.write(bytes);
        }
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
