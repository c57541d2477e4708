package dev.adapt.tests.fuzz;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.Companions;
import dev.adapt.formats.io.FileTree;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.merge.undo.Unmerger;
import io.airlift.compress.v3.zstd.ZstdJavaCompressor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Base64;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/**
 * What Jazzer runs on undo files. The input is the file, or its description in JSON, or its only frame; the rest is then
 * right, which no guessing would find.
 */
public final class UndoHarness {
    private static final int VALUES = 64;
    private static final Path OUTSIDE = make();
    private static final Path MERGED = OUTSIDE.resolve("merged");
    private static final Path UNDO = OUTSIDE.resolve("undo");
    private static final Path OUT = OUTSIDE.resolve("out/base");
    private static final byte[] FRAME = frame();
    private static final Tree PRISTINE = Tree.of(OUTSIDE);

    private UndoHarness() {}

    private static Path make() {
        try {
            Path outside = Files.createTempDirectory("undo").toRealPath();
            Path merged = Files.createDirectory(outside.resolve("merged"));
            Files.createDirectory(outside.resolve("out"));
            float[] values = new float[VALUES];
            Arrays.fill(values, 1.5f);
            SafetensorsWriter.write(
                    merged.resolve(Checkpoint.SINGLE), Map.of("w", new FloatTensor(Shape.of(8, 8), values)), Map.of());
            Files.writeString(merged.resolve("tokenizer.json"), "{}");
            Files.writeString(outside.resolve("key"), "secret");
            return outside;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Of nothing but zeros: the base is what was merged. */
    private static byte[] frame() {
        ZstdJavaCompressor compressor = new ZstdJavaCompressor();
        byte[] zeros = new byte[VALUES * Float.BYTES];
        byte[] packed = new byte[compressor.maxCompressedLength(zeros.length)];
        return Arrays.copyOf(packed, compressor.compress(zeros, 0, zeros.length, packed, 0, packed.length));
    }

    /** What describes a sound file with that frame. */
    static String description(int frameLength) throws IOException {
        try (Checkpoint merged = Checkpoint.open(MERGED)) {
            TensorView tensor = merged.tensors().get("w");
            byte[] file = Files.readAllBytes(MERGED.resolve(Checkpoint.SINGLE));
            byte[] header =
                    Arrays.copyOf(file, (int) merged.files().getFirst().header().dataOffset());
            return """
                    {"version":2,"files":[{"name":"model.safetensors","header":"%s","tensors":[{"name":"w",\
                    "dtype":"F32","shape":[8,8],"bytes":%d,"sha256":"%s","merged_sha256":"%s",\
                    "frames":[{"offset":0,"bytes":%d,\
                    "position":0,"length":%d}]}]}],"texts":{"config.json":"{}"},"tokenizer":{"vocab.txt":"YQ=="},\
                    "added":["tokenizer.json"]}""".formatted(
                            Base64.getEncoder().encodeToString(header),
                            tensor.info().bytes(),
                            tensor.sha256(),
                            tensor.sha256(),
                            tensor.info().bytes(),
                            frameLength);
        }
    }

    /** Jazzer's entry point. */
    public static void fuzzerTestOneInput(byte[] input) throws IOException {
        int mode = input.length == 0 ? 0 : input[0] & 3;
        byte[] rest = Arrays.copyOfRange(input, Math.min(1, input.length), input.length);
        byte[] undo = switch (mode) {
            case 0 -> rest;
            case 1 -> whole(rest, description(rest.length).getBytes(StandardCharsets.UTF_8));
            default -> whole(FRAME, rest);
        };
        Files.write(UNDO, undo);
        Tree before = PRISTINE.with("undo", undo);
        try (Checkpoint merged = Checkpoint.open(MERGED);
                Unmerger unmerger = new Unmerger(merged, UNDO)) {
            unmerger.unmerge(OUT);
            requireOnlyACheckpoint();
            before.requireSame(Tree.of(OUTSIDE).without("out/base"));
            FileTree.delete(OUT);
        } catch (FormatException declared) {
            if (!declared.getMessage().contains(UNDO.toString())) {
                throw new AssertionError("names no file", declared);
            }
            before.requireSame(Tree.of(OUTSIDE));
        }
    }

    private static byte[] whole(byte[] frames, byte[] json) {
        ByteBuffer whole = ByteBuffer.allocate(frames.length + json.length + 16).order(ByteOrder.LITTLE_ENDIAN);
        whole.put(frames).put(json).putLong(json.length);
        return whole.put("adaptund".getBytes(StandardCharsets.US_ASCII)).array();
    }

    private static void requireOnlyACheckpoint() {
        Set<String> names = new TreeSet<>(Tree.of(OUT).files().keySet());
        names.removeAll(Set.of("/", "config.json", Checkpoint.INDEX));
        names.removeIf(Companions::isTokenizer);
        names.removeIf(name -> name.endsWith(".safetensors") && !name.contains("/"));
        if (!names.isEmpty()) {
            throw new AssertionError("wrote " + names);
        }
    }
}
