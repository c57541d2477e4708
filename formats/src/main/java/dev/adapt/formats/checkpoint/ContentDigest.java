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
import java.util.Optional;
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
        try (Stream<Path> inside = Files.walk(output)) {
            return of(output, inside.filter(Files::isRegularFile).toList(), known);
        }
    }

    /** The digest of some files of a folder. */
    public static ContentDigest of(Path folder, List<Path> files, Function<TensorView, Optional<String>> known)
            throws IOException {
        long bytes = 0;
        MessageDigest digest = Sha256.begin();
        List<Path> sorted = files.stream()
                .sorted((left, right) -> name(folder, left).compareTo(name(folder, right)))
                .toList();
        for (Path file : sorted) {
            bytes += Files.size(file);
            String own = file.toString().endsWith(SAFETENSORS) ? ofTensors(file, known) : ofBytes(file);
            digest.update(line(name(folder, file), own));
        }
        return new ContentDigest(bytes, HexFormat.of().formatHex(digest.digest()));
    }

    private static String name(Path folder, Path file) {
        return folder.relativize(file).toString().replace('\\', '/');
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
