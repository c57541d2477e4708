package dev.adapt.verify.form;

import dev.adapt.formats.UsageException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * The forms to compare.
 *
 * @param base a checkpoint folder
 * @param adapter beside the base, unmerged; a model whose layers share weights (LORS) is its own base
 * @param merged checkpoint folders
 * @param gguf GGUF files, read back as checkpoints
 * @param onnx ONNX models
 * @param onnxAdapter active in the first of these
 */
public record Forms(
        Optional<Path> base,
        Optional<Path> adapter,
        List<Path> merged,
        List<Path> gguf,
        List<Path> onnx,
        Optional<Path> onnxAdapter) {
    public Forms {
        merged = List.copyOf(merged);
        gguf = List.copyOf(gguf);
        onnx = List.copyOf(onnx);
        if (onnxAdapter.isPresent() && onnx.isEmpty()) {
            throw new UsageException("onnx-adapter", "it needs an ONNX model, exported with inputs for adapters");
        }
        int forms = (base.or(() -> adapter).isPresent() ? 1 : 0) + merged.size() + gguf.size() + onnx.size();
        if (forms < 2) {
            throw new UsageException("verify compares at least two forms of a model, found " + forms
                    + ": give two or more of a base (with or without an adapter), a merged checkpoint, a GGUF file and an"
                    + " ONNX model");
        }
    }

    /** A base, its adapter, the merged checkpoint and the ONNX model exported from it. */
    public static Forms of(Path base, Path adapter, Path merged, Path onnx) {
        return new Forms(
                Optional.of(base), Optional.of(adapter), List.of(merged), List.of(), List.of(onnx), Optional.empty());
    }
}
