package dev.adapt.tests.fuzz;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.safetensors.SafetensorsHeader;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.safetensors.TensorSpec;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;

/** What Jazzer runs on the reader of safetensors headers: the input is a whole file, and once more only the JSON of one. */
public final class HeaderHarness {
    private static final Path FILE = Path.of("fuzzed.safetensors");

    private HeaderHarness() {}

    /** Jazzer's entry point. */
    public static void fuzzerTestOneInput(byte[] input) {
        try {
            ByteBuffer prefix = ByteBuffer.wrap(Arrays.copyOf(input, SafetensorsHeader.PREFIX));
            int length = SafetensorsHeader.length(FILE, prefix, input.length);
            int end = SafetensorsHeader.PREFIX + length;
            check(Arrays.copyOfRange(input, SafetensorsHeader.PREFIX, end), input.length);
        } catch (FormatException declared) {
            require(declared.rule().isPresent(), declared);
        }
        for (int dataBytes : new int[] {0, 4, 16}) {
            check(input, SafetensorsHeader.PREFIX + input.length + dataBytes);
        }
    }

    private static void check(byte[] json, long fileBytes) {
        SafetensorsHeader header;
        try {
            header = SafetensorsHeader.parse(FILE, json, fileBytes);
        } catch (FormatException declared) {
            require(declared.rule().isPresent() && declared.getMessage().startsWith(FILE.toString()), declared);
            return;
        }
        if (header.fileBytes() != fileBytes) {
            throw new AssertionError("describes " + header.fileBytes() + " of " + fileBytes + " bytes");
        }
        List<TensorSpec> specs = header.tensors().stream()
                .map(tensor -> new TensorSpec(tensor.name(), tensor.dtype(), tensor.shape()))
                .toList();
        List<TensorInfo> again =
                SafetensorsHeader.inOrder(specs, header.metadata()).tensors();
        if (!again.equals(header.tensors())) {
            throw new AssertionError("laid out again: " + again + ", read: " + header.tensors());
        }
    }

    private static void require(boolean named, FormatException thrown) {
        if (!named) {
            throw new AssertionError("names no rule or no file", thrown);
        }
    }
}
