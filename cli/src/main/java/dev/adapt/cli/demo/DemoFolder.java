package dev.adapt.cli.demo;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.io.FileTree;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.Sha256;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/**
 * The folder that a demo writes. Its record, {@code .adapt-demo.json}, lists every folder and the SHA-256 digest of every
 * file that the demo wrote. Only what the record lists, and is unchanged, is ever deleted.
 */
final class DemoFolder {
    private static final String RECORD = ".adapt-demo.json";
    private static final String FOLDER = "folder";

    private final Path path;

    private DemoFolder(Path path) {
        this.path = path;
    }

    /**
     * Takes a folder for a demo: one that does not exist, is empty, or holds a demo that may be replaced.
     *
     * @param overwrite whether an earlier demo may be replaced
     * @throws UsageException if the folder holds anything else; nothing is then changed
     */
    static DemoFolder claim(Path path, boolean overwrite) throws IOException {
        if (Files.exists(path) && !Files.isDirectory(path)) {
            throw new FileAlreadyExistsException(path.toString(), null, "is a file, expected a folder name");
        }
        Files.createDirectories(path);
        DemoFolder folder = new DemoFolder(path);
        List<Path> inside = folder.tree();
        if (!inside.isEmpty()) {
            folder.requireReplaceable(inside, overwrite);
            FileTree.deleteOnly(inside);
        }
        try {
            Files.writeString(path.resolve(RECORD), folder.text(Map.of()), StandardOpenOption.CREATE_NEW);
        } catch (FileAlreadyExistsException e) {
            throw new UsageException(path + ": another demo has just begun here; give another folder with --out");
        }
        return folder;
    }

    private void requireReplaceable(List<Path> inside, boolean overwrite) throws IOException {
        if (!Files.isRegularFile(path.resolve(RECORD), LinkOption.NOFOLLOW_LINKS)) {
            throw new UsageException(path + ": exists and was not made by the demo (it holds "
                    + path.relativize(inside.getFirst()) + "); give a new folder with --out");
        }
        if (!overwrite) {
            throw new UsageException(
                    path + ": holds an earlier demo; replace it with --overwrite, or give another folder with --out");
        }
        Map<String, String> recorded = read();
        for (Path each : inside) {
            Optional<String> identity = identity(each);
            if (!each.equals(path.resolve(RECORD))
                    && (identity.isEmpty() || !identity.get().equals(recorded.get(key(each))))) {
                throw new UsageException(each + ": was not written by the demo or was changed since; move it away,"
                        + " or give another folder with --out");
            }
        }
    }

    /**
     * Records all that the folder holds now. Whoever claimed the folder found it empty: all is the demo's.
     *
     * @throws IOException if a file cannot be read, or the record not be written
     */
    void record() throws IOException {
        write(entries());
    }

    /**
     * Records all that the folder holds while a demo that a signal ends may still be writing: again until nothing
     * changes, ten times at most.
     */
    void recordWhenStill() throws IOException {
        Map<String, String> entries = entries();
        for (int i = 0; i < 10; i++) {
            write(entries);
            Map<String, String> since = entries();
            if (since.equals(entries)) {
                return;
            }
            entries = since;
        }
    }

    private Map<String, String> entries() throws IOException {
        Map<String, String> entries = new TreeMap<>();
        for (Path each : tree()) {
            if (!each.equals(path.resolve(RECORD))) {
                identity(each).ifPresent(identity -> entries.put(key(each), identity));
            }
        }
        return entries;
    }

    private String text(Map<String, String> entries) {
        ObjectNode files = JsonNodeFactory.instance.objectNode();
        entries.forEach(files::put);
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("about", "what adapt demo wrote here, and may delete: SHA-256 digests");
        json.set("files", files);
        return new JsonDocument(path.resolve(RECORD), json).text();
    }

    private void write(Map<String, String> entries) throws IOException {
        Path record = path.resolve(RECORD);
        Path next = Files.createTempFile(path, RECORD, ".tmp");
        try {
            Files.writeString(next, text(entries));
            Files.move(next, record, StandardCopyOption.ATOMIC_MOVE);
        } finally {
            Files.deleteIfExists(next);
        }
    }

    private Map<String, String> read() throws IOException {
        JsonDocument record = JsonDocument.read(path.resolve(RECORD));
        Map<String, String> entries = new TreeMap<>();
        for (Map.Entry<String, JsonNode> entry : record.object("files").json().properties()) {
            if (!entry.getValue().isTextual()) {
                throw new FormatException(record.path(), "files", "expected texts, found " + entry.getValue());
            }
            entries.put(entry.getKey(), entry.getValue().textValue());
        }
        return entries;
    }

    /** All that is inside, each folder before what it holds. Links are not followed. */
    private List<Path> tree() throws IOException {
        return FileTree.inside(path);
    }

    private String key(Path inside) {
        return path.relativize(inside).toString().replace('\\', '/');
    }

    /** What the record says of a file or folder; nothing for links, devices and the like. */
    private static Optional<String> identity(Path path) throws IOException {
        if (Files.isDirectory(path, LinkOption.NOFOLLOW_LINKS)) {
            return Optional.of(FOLDER);
        }
        return Files.isRegularFile(path, LinkOption.NOFOLLOW_LINKS) ? Optional.of(digest(path)) : Optional.empty();
    }

    private static String digest(Path file) throws IOException {
        try (InputStream in = InputFile.found(file).stream()) {
            return Sha256.hex(in);
        }
    }
}
