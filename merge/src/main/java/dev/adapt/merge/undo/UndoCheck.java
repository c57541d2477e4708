package dev.adapt.merge.undo;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.Companions;
import dev.adapt.formats.checkpoint.ShardIndex;
import dev.adapt.formats.checkpoint.WeightFiles;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.safetensors.SafetensorsHeader;
import dev.adapt.formats.safetensors.TensorInfo;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Whether an undo file that may come from a stranger describes one checkpoint, and its frames lie in the file. What passes
 * can write nothing but config.json, the index, the files of a tokenizer and safetensors files of that checkpoint, of
 * the sizes that it declares.
 */
final class UndoCheck {
    private static final Set<String> TEXTS = Stream.concat(Stream.of(Checkpoint.CONFIG), WeightFiles.indices().stream())
            .collect(Collectors.toUnmodifiableSet());
    private static final Pattern DIGEST = Pattern.compile("[0-9a-f]{64}");
    private static final String ENDING = ".safetensors";

    /** Zstandard stores what does not shrink, with a few bytes for each block of 128 KiB. */
    private static final int FRAME_OVERHEAD = 1 << 10;

    private final Path path;
    private final long framesEnd;
    private long packed;

    private UndoCheck(Path path, long framesEnd) {
        this.path = path;
        this.framesEnd = framesEnd;
    }

    /**
     * Checks all that an undo file says.
     *
     * @param framesEnd where the frames end in the file
     * @throws FormatException at the first thing that cannot be
     */
    static void check(Undo undo, Path path, long framesEnd) {
        UndoCheck check = new UndoCheck(path, framesEnd);
        check.texts(undo.texts());
        check.tokenizer(undo);
        Map<String, String> places = new HashMap<>();
        for (Undo.BaseFile file : undo.files()) {
            check.file(file);
            for (Undo.BaseTensor tensor : file.tensors()) {
                if (places.put(tensor.name(), file.name()) != null) {
                    throw check.wrong(tensor.name(), "lies in two files");
                }
            }
        }
        check.names(undo, places);
    }

    private void texts(Map<String, String> texts) {
        texts.forEach((name, text) -> {
            if (!TEXTS.contains(name)) {
                throw wrong(name, "is to be written, expected nothing beside weights but " + new TreeSet<>(TEXTS));
            }
            JsonDocument.parse(path, text.getBytes(StandardCharsets.UTF_8));
        });
    }

    private void tokenizer(Undo undo) {
        for (String name : undo.tokenizer().keySet()) {
            if (!isBrought(name)) {
                throw wrong(name, "is to be written, and is no file that an adapter brings");
            }
        }
        for (String name : undo.added()) {
            if (!isBrought(name) || undo.tokenizer().containsKey(name)) {
                throw wrong(name, "is to be left out, expected a file that an adapter brings and the base lacks");
            }
        }
    }

    /** Whether an adapter may bring a file of that name: of a tokenizer, or of sentence-transformers. */
    private static boolean isBrought(String name) {
        return Companions.isTokenizer(name) || Companions.isOfSentences(name);
    }

    private void names(Undo undo, Map<String, String> places) {
        List<String> names = undo.files().stream().map(Undo.BaseFile::name).toList();
        if (names.size() == 1 && WeightFiles.isSingle(names.getFirst())) {
            return;
        }
        String text = WeightFiles.indices().stream()
                .map(undo.texts()::get)
                .filter(Objects::nonNull)
                .findFirst()
                .orElse(null);
        if (text == null) {
            throw wrong(
                    "files",
                    "expected only " + Checkpoint.SINGLE + ", or shards with their index, found "
                            + Undo.printable(names.toString()));
        }
        ShardIndex index = ShardIndex.parse(path, text.getBytes(StandardCharsets.UTF_8));
        if (names.size() != index.files().size() || !places.equals(index.weightMap())) {
            throw wrong("files", "expected the shards and tensors that the index in it names, found others");
        }
        for (String name : names) {
            if (!name.endsWith(ENDING)) {
                throw wrong(name, "is to be written as weights, expected a name that ends with " + ENDING);
            }
        }
    }

    private void file(Undo.BaseFile file) {
        byte[] header = file.header();
        long bytes = header.length;
        for (Undo.BaseTensor tensor : file.tensors()) {
            if (tensor.bytes() < 0 || tensor.bytes() > Long.MAX_VALUE - bytes) {
                throw wrong(tensor.name(), "has the impossible size " + tensor.bytes());
            }
            bytes += tensor.bytes();
        }
        ByteBuffer prefix = ByteBuffer.wrap(Arrays.copyOf(header, SafetensorsHeader.PREFIX));
        int length = SafetensorsHeader.length(path, prefix, header.length);
        if (length != header.length - SafetensorsHeader.PREFIX) {
            throw wrong(file.name(), "its header has " + header.length + " bytes and says another length");
        }
        byte[] json = Arrays.copyOfRange(header, SafetensorsHeader.PREFIX, header.length);
        List<TensorInfo> infos = SafetensorsHeader.parse(path, json, bytes).tensors();
        if (infos.size() != file.tensors().size()) {
            throw wrong(file.name(), "has " + file.tensors().size() + " tensors, its header describes " + infos.size());
        }
        for (int i = 0; i < infos.size(); i++) {
            tensor(infos.get(i), file.tensors().get(i));
        }
    }

    private void tensor(TensorInfo info, Undo.BaseTensor tensor) {
        boolean same = tensor.name().equals(info.name())
                && tensor.dtype().equals(info.dtype().name())
                && tensor.shape().equals(info.shape().dims())
                && tensor.bytes() == info.bytes();
        if (!same) {
            throw wrong(tensor.name(), "is not as its file's header describes it");
        }
        requireDigest(tensor, tensor.sha256());
        requireDigest(tensor, tensor.mergedSha256());
        if (tensor.sha256().isEmpty()) {
            if (tensor.adapted() || !tensor.frames().isEmpty()) {
                throw wrong(tensor.name(), "is restored, but has no digest to check it with");
            }
            return;
        }
        int bits = info.dtype().bits();
        if (tensor.adapted() && bits % Byte.SIZE != 0) {
            throw wrong(tensor.name(), "is adapted, which " + info.dtype() + " cannot be");
        }
        frames(tensor, tensor.adapted() ? bits / Byte.SIZE : 1);
    }

    private void requireDigest(Undo.BaseTensor tensor, String digest) {
        if (!digest.isEmpty() && !DIGEST.matcher(digest).matches()) {
            throw wrong(tensor.name(), "has a digest that is none of SHA-256");
        }
    }

    private void frames(Undo.BaseTensor tensor, int width) {
        long at = 0;
        for (Undo.Frame frame : tensor.frames()) {
            boolean fits = frame.offset() == at
                    && frame.bytes() > 0
                    && frame.bytes() <= Undo.MAX_FRAME
                    && frame.bytes() <= tensor.bytes() - at
                    && frame.bytes() % width == 0;
            if (!fits) {
                throw wrong(
                        tensor.name(),
                        "a frame holds " + frame.bytes() + " bytes from " + frame.offset() + ", expected at most "
                                + Math.min(Undo.MAX_FRAME, tensor.bytes() - at) + " from " + at);
            }
            boolean inside = frame.position() >= 0
                    && frame.length() > 0
                    && frame.length() <= frame.bytes() + frame.bytes() / 128 + FRAME_OVERHEAD
                    && frame.position() <= framesEnd - frame.length();
            packed += frame.length();
            // each frame has a place of its own, so that a small file cannot stand for a huge one
            if (!inside || packed > framesEnd) {
                throw wrong(
                        tensor.name(),
                        "a frame of " + frame.length() + " bytes at " + frame.position()
                                + " does not lie in the file, whose frames have " + framesEnd);
            }
            at += frame.bytes();
        }
        if (at != tensor.bytes()) {
            throw wrong(tensor.name(), "has " + tensor.bytes() + " bytes, its frames hold " + at);
        }
    }

    private FormatException wrong(String place, String reason) {
        return new FormatException(path, Undo.printable(place), "is a broken undo file: " + reason);
    }
}
