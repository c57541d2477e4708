package dev.adapt.formats.gguf.model;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.gguf.GgufFile;
import dev.adapt.formats.gguf.GgufTensor;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.tensor.FloatFormat;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * A checkpoint's stack of experts [experts, in, out], whose columns are by turns those of llama.cpp's tensors [experts, rows,
 * in]: GPT-OSS has gate and up in one. A bias is a stack with an input of 1.
 *
 * @param parts in the order of the columns
 */
record InterleavedStack(List<GgufTensor> parts) {
    /**
     * The stack that a tensor of a file begins.
     *
     * @throws FormatException if a part is missing, or their shapes differ
     */
    static InterleavedStack of(GgufFile file, GgufTensor first) {
        String up = first.name().replace("ffn_gate_exps", "ffn_up_exps");
        if (up.equals(first.name())) {
            return new InterleavedStack(List.of(first));
        }
        GgufTensor second = file.find(up)
                .orElseThrow(
                        () -> new FormatException(file.path(), up, "is missing: expected it beside " + first.name()));
        if (!second.shape().equals(first.shape())) {
            throw new FormatException(
                    file.path(),
                    up,
                    "has shape " + second.shape() + ", expected " + first.shape() + ", as " + first.name());
        }
        return new InterleavedStack(List.of(first, second));
    }

    private Shape part() {
        return parts.getFirst().shape();
    }

    private long in() {
        return part().rank() == 3 ? part().dim(2) : 1;
    }

    private long out() {
        return part().dim(1) * parts.size();
    }

    /** The shape of the checkpoint's tensor. */
    Shape shape() {
        return part().rank() == 3 ? Shape.of(part().dim(0), in(), out()) : Shape.of(part().dim(0), out());
    }

    /** Copies it, one expert in memory at a time. */
    void copy(GgufFile file, TensorInfo to, SafetensorsWriter writer) throws IOException {
        int rows = Math.toIntExact(part().dim(1));
        int in = Math.toIntExact(in());
        int size = Math.multiplyExact(rows, in);
        FloatFormat format = to.dtype().floatFormat().orElseThrow();
        float[] values = new float[size];
        float[] woven = new float[Math.multiplyExact(size, parts.size())];
        byte[] bytes = new byte[Math.multiplyExact(woven.length, format.bytes())];
        for (long expert = 0; expert < part().dim(0); expert++) {
            for (int p = 0; p < parts.size(); p++) {
                file.read(parts.get(p), expert * size, values, size);
                for (int row = 0; row < rows; row++) {
                    for (int column = 0; column < in; column++) {
                        woven[(column * rows + row) * parts.size() + p] = values[row * in + column];
                    }
                }
            }
            format.encode(woven, 0, woven.length, MemorySegment.ofArray(bytes));
            writer.write(to, expert * bytes.length, MemorySegment.ofArray(bytes));
        }
    }
}
