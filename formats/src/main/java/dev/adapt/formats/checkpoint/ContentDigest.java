package dev.adapt.formats.checkpoint;

import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.Sha256;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * What files hold, as one digest: SHA-256 over a line for each file, sorted by name: its name, a space, its digest, a
 * newline. A safetensors file's digest is SHA-256 over its header's bytes and then, for each tensor in the order of the
 * data, its name, a space, its {@link dev.adapt.formats.tensor.TensorDigest} and a newline; so tensors whose digests are
 * known need not be read. Another file's digest is SHA-256 over its bytes.
 *
 * @param bytes of all files together
 * @param sha256 in lower-case hex
 */
public record ContentDigest(long bytes, String sha256) {
    private static final String SAFETENSORS = ".safetensors";

    /**
     * The digest of a file, or of the regular files in a folder and the folders in it.
     *
     * @param known digests of tensors that need not be computed
     */
    public static ContentDigest of(Path output, Function<TensorView, Optional<String>> known) throws IOException {
        if (!Files.isDirectory(output)) {
            return of(output.resolveSibling(""), List.of(output), known);
        }
        return of(output, files(output), known);
    }

    /**
     * The digest of the regular files in a folder and the folders in it.
     *
     * @param known digests of files that need not be computed, by name
     */
    public static ContentDigest of(Path folder, Map<String, String> known) throws IOException {
        return digest(folder, files(folder), (name, file) -> {
            String own = known.get(name);
            return own == null ? ofFile(file, tensor -> Optional.empty()) : own;
        });
    }

    private static List<Path> files(Path folder) throws IOException {
        try (Stream<Path> inside = Files.walk(folder)) {
            return inside.filter(Files::isRegularFile).toList();
        }
    }

    /** The digest of some files of a folder. */
    public static ContentDigest of(Path folder, List<Path> files, Function<TensorView, Optional<String>> known)
            throws IOException {
        return digest(folder, files, (name, file) -> ofFile(file, known));
    }

    /** Digests a file. */
    private interface OfFile {
        String digest(String name, Path file) throws IOException;
    }

    private static ContentDigest digest(Path folder, List<Path> files, OfFile each) throws IOException {
        long bytes = 0;
        SortedMap<String, Path> sorted = new TreeMap<>();
        files.forEach(file -> sorted.put(folder.relativize(file).toString().replace('\\', '/'), file));
        MessageDigest digest = Sha256.begin();
        for (Map.Entry<String, Path> file : sorted.entrySet()) {
            bytes += Files.size(file.getValue());
            digest.update(line(file.getKey(), each.digest(file.getKey(), file.getValue())));
        }
        return new ContentDigest(bytes, HexFormat.of().formatHex(digest.digest()));
    }

    /** The digest of one file, as it stands in its line. */
    public static String ofFile(Path file, Function<TensorView, Optional<String>> known) throws IOException {
        return file.toString().endsWith(SAFETENSORS) ? ofTensors(file, known) : ofBytes(file);
    }

    private static byte[] line(String name, String digest) {
        return (name + " " + digest + "\n").getBytes(StandardCharsets.UTF_8);
    }

    private static String ofBytes(Path file) throws IOException {
        try (InputStream in = InputFile.named(file).stream()) {
            return Sha256.hex(in);
        }
    }

    private static String ofTensors(Path path, Function<TensorView, Optional<String>> known) throws IOException {
        MessageDigest digest = Sha256.begin();
        InputFile source = InputFile.named(path);
        try (InputStream in = source.stream();
                SafetensorsFile file = SafetensorsFile.open(source)) {
            digest.update(in.readNBytes(Math.toIntExact(file.header().dataOffset())));
            for (TensorView tensor : file.tensors()) {
                digest.update(line(tensor.name(), known.apply(tensor).orElseGet(tensor::sha256)));
            }
        }
        return HexFormat.of().formatHex(digest.digest());
    }
}
