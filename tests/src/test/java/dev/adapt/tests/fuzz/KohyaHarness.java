package dev.adapt.tests.fuzz;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsHeader;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.safetensors.TensorSpec;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.merge.convert.AdapterLayers;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * What Jazzer runs on the reader of files with kohya's keys. The input describes the file, a tensor a line: key, dtype
 * and dimensions between spaces. {@link HeaderHarness} looks at files that are broken.
 */
public final class KohyaHarness {
    private static final int MOST_ELEMENTS = 1 << 12;
    private static final int MOST_DIMS = 6;
    private static final Path FOLDER = make();
    private static final Path FILE = FOLDER.resolve("kohya.safetensors");
    private static final Path BASE = FOLDER.resolve("base.safetensors");

    private KohyaHarness() {}

    private static Path make() {
        try {
            Path folder = Files.createTempDirectory("kohya");
            FloatTensor matrix = new FloatTensor(Shape.of(8, 4), new float[32]);
            SafetensorsWriter.write(
                    folder.resolve("base.safetensors"),
                    Map.of(
                            "down_blocks.0.attn_1.to_q.weight", matrix,
                            "down_blocks.0.attn.1.to_q.weight", matrix,
                            "mid_block.to_k.weight", matrix),
                    Map.of());
            return folder;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Jazzer's entry point. */
    public static void fuzzerTestOneInput(byte[] input) throws IOException {
        Map<String, TensorSpec> specs = new LinkedHashMap<>();
        new String(input, StandardCharsets.UTF_8).lines().forEach(line -> add(specs, line));
        SafetensorsHeader header = SafetensorsHeader.of(specs.values().stream().toList(), Map.of());
        Files.deleteIfExists(FILE);
        try (SafetensorsWriter writer = SafetensorsWriter.create(FILE, header)) {
            for (TensorInfo info : header.tensors()) {
                byte[] bytes = new byte[(int) info.bytes()];
                Arrays.fill(bytes, (byte) 0x3f);
                writer.write(info, 0, MemorySegment.ofArray(bytes));
            }
        }
        read(Optional.empty());
        try (Checkpoint base = Checkpoint.open(BASE)) {
            read(Optional.of(base));
        }
    }

    private static void read(Optional<Checkpoint> base) throws IOException {
        try {
            AdapterLayers.read(FILE, base, false);
        } catch (FormatException declared) {
            String message = String.valueOf(declared.getMessage());
            if (!message.startsWith(FILE.toString()) && !message.startsWith(BASE.toString())) {
                throw new AssertionError("names no file", declared);
            }
        }
    }

    /** Adds what a line describes, if it is a tensor that a file may hold. */
    private static void add(Map<String, TensorSpec> specs, String line) {
        String[] words = line.split(" ", -1);
        if (words.length < 2 || words.length > 2 + MOST_DIMS || words[0].equals("__metadata__")) {
            return;
        }
        long elements = 1;
        long[] dims = new long[words.length - 2];
        for (int i = 0; i < dims.length; i++) {
            if (!words[i + 2].matches("[0-9]{1,4}")) {
                return;
            }
            dims[i] = Long.parseLong(words[i + 2]);
            elements *= Math.max(1, dims[i]);
        }
        Optional<Dtype> dtype = Arrays.stream(Dtype.values())
                .filter(each -> each.name().equals(words[1]) && each.bits() % Byte.SIZE == 0)
                .findFirst();
        if (dtype.isPresent() && elements <= MOST_ELEMENTS) {
            specs.put(words[0], new TensorSpec(words[0], dtype.get(), Shape.of(dims)));
        }
    }
}
