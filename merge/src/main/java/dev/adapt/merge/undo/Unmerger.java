package dev.adapt.merge.undo;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.OutputFile;
import dev.adapt.formats.io.OutputFolder;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.io.Snapshot;
import dev.adapt.formats.io.WholeIo;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.TensorDigest;
import io.airlift.compress.v3.MalformedInputException;
import io.airlift.compress.v3.zstd.ZstdJavaDecompressor;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Makes the base again, bit for bit, from a merged checkpoint and the undo file that its merge wrote. */
public final class Unmerger implements AutoCloseable {
    private static final int PIECE = 1 << 22;

    private final Checkpoint merged;
    private final Path undoPath;
    private final Snapshot undoState;
    private final FileChannel frames;
    private final Undo undo;
    private long restored;

    /**
     * Opens an undo file.
     *
     * @throws FormatException if it is none, or broken
     */
    public Unmerger(Checkpoint merged, Path undoPath) throws IOException {
        this.merged = merged;
        this.undoPath = undoPath;
        InputFile file = InputFile.named(undoPath);
        this.undoState = file.snapshot();
        this.frames = file.open();
        try {
            this.undo = Undo.read(undoPath, frames);
        } catch (IOException | RuntimeException e) {
            frames.close();
            throw e;
        }
    }

    /**
     * Writes the base. From a folder comes a folder, from a file a file.
     *
     * @throws UsageException if it has several files and {@code out} is one
     * @throws FormatException if the checkpoint is not the one that the undo file belongs to, or either is damaged; nothing
     *     then stands under {@code out} that did not
     */
    public void unmerge(Path out) throws IOException {
        unmerge(out, Outputs.fresh());
    }

    /** The same, as one of a command's outputs. */
    public void unmerge(Path out, Outputs outputs) throws IOException {
        boolean toFile = !Files.isDirectory(merged.path()) && out.toString().endsWith(".safetensors");
        if (toFile && undo.files().size() > 1) {
            throw new UsageException(
                    out + " is to be one file, but the base has " + undo.files().size() + "; give --out a folder");
        }
        outputs.reads(List.of(merged.path(), undoPath));
        outputs.madeFrom(merged.snapshots());
        outputs.madeFrom(List.of(undoState));
        try {
            if (toFile) {
                unmergeFile(out, outputs);
            } else {
                unmergeFolder(out, outputs);
            }
        } catch (InternalError e) {
            throw outputs.explain(e);
        }
    }

    private void unmergeFile(Path out, Outputs outputs) throws IOException {
        try (OutputFile pending = outputs.file(out)) {
            for (Undo.BaseFile file : undo.files()) {
                write(file, pending.path());
            }
            merged.requireUnchanged();
            pending.commit();
        }
    }

    private void unmergeFolder(Path out, Outputs outputs) throws IOException {
        Set<String> files = new HashSet<>(merged.companionNames());
        files.addAll(undo.texts().keySet());
        files.addAll(undo.tokenizer().keySet());
        undo.files().forEach(file -> files.add(file.name()));
        try (OutputFolder pending = outputs.folder(out, files)) {
            for (Undo.BaseFile file : undo.files()) {
                write(file, pending.path().resolve(file.name()));
            }
            writeCompanions(pending);
            merged.requireUnchanged();
            pending.commit();
        }
    }

    /** How many tensors were restored. */
    public long restored() {
        return restored;
    }

    private void write(Undo.BaseFile file, Path path) throws IOException {
        try (FileChannel out = FileChannel.open(path, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            WholeIo.write(out, ByteBuffer.wrap(file.header()));
            for (Undo.BaseTensor tensor : file.tensors()) {
                if (tensor.sha256().isEmpty()) {
                    copy(required(tensor), out);
                } else {
                    restore(tensor, out);
                    restored++;
                }
            }
        } catch (IOException e) {
            throw OutputFile.unwritable(path, e);
        }
    }

    /** The merged tensor, which must have the base's size. */
    private TensorView required(Undo.BaseTensor tensor) {
        TensorView found = merged.tensors().get(tensor.name());
        if (found == null || found.info().bytes() != tensor.bytes()) {
            throw foreign(tensor, found == null ? "it has no such tensor" : "its size differs");
        }
        return found;
    }

    private FormatException foreign(Undo.BaseTensor tensor, String how) {
        return new FormatException(
                merged.path(),
                tensor.name(),
                "is not as the merge that wrote " + undoPath + " left it (" + how
                        + "); give the checkpoint it belongs to");
    }

    private static void copy(TensorView tensor, FileChannel out) throws IOException {
        long size = tensor.data().byteSize();
        for (long at = 0; at < size; at += PIECE) {
            WholeIo.write(
                    out, tensor.data().asSlice(at, Math.min(PIECE, size - at)).asByteBuffer());
        }
    }

    private void restore(Undo.BaseTensor tensor, FileChannel out) throws IOException {
        MemorySegment after = MemorySegment.NULL;
        if (tensor.adapted()) {
            TensorView found = required(tensor);
            if (!found.sha256().equals(tensor.mergedSha256())) {
                throw foreign(tensor, "its SHA-256 differs");
            }
            after = found.data();
        }
        Shape shape = new Shape(tensor.shape());
        int width = Math.toIntExact(tensor.bytes() / Math.max(1, shape.elements()));
        TensorDigest digest = new TensorDigest(tensor.dtype(), shape);
        long at = 0;
        for (Undo.Frame frame : tensor.frames()) {
            byte[] bytes = unpacked(frame);
            byte[] base = tensor.adapted() ? exclusiveOr(bytes, after, at, width) : bytes;
            digest.add(ByteBuffer.wrap(base));
            WholeIo.write(out, ByteBuffer.wrap(base));
            at += base.length;
        }
        if (at != tensor.bytes() || !digest.hex().equals(tensor.sha256())) {
            throw damaged(tensor.name());
        }
    }

    /** A frame's bytes: as many as the undo file says, which is checked before room is made for them. */
    private byte[] unpacked(Undo.Frame frame) throws IOException {
        byte[] packed = Undo.read(undoPath, frames, frame.position(), frame.length());
        ZstdJavaDecompressor decompressor = new ZstdJavaDecompressor();
        try {
            if (decompressor.getDecompressedSize(packed, 0, packed.length) != frame.bytes()) {
                throw damaged("frame at " + frame.position());
            }
            byte[] bytes = new byte[frame.bytes()];
            if (decompressor.decompress(packed, 0, packed.length, bytes, 0, bytes.length) != bytes.length) {
                throw damaged("frame at " + frame.position());
            }
            return bytes;
        } catch (MalformedInputException
                | IllegalArgumentException
                | IllegalStateException
                | IndexOutOfBoundsException e) {
            throw damaged("frame at " + frame.position());
        }
    }

    private FormatException damaged(String where) {
        return new FormatException(undoPath, where, "is damaged: what it restores is not what the merge began with");
    }

    private static byte[] exclusiveOr(byte[] planes, MemorySegment after, long from, int width) {
        int count = planes.length / width;
        byte[] base = new byte[planes.length];
        for (int i = 0; i < count; i++) {
            for (int plane = 0; plane < width; plane++) {
                int at = i * width + plane;
                base[at] = (byte) (planes[plane * count + i] ^ after.get(ValueLayout.JAVA_BYTE, from + at));
            }
        }
        return base;
    }

    private void writeCompanions(OutputFolder folder) throws IOException {
        Set<String> changed = new HashSet<>(undo.tokenizer().keySet());
        changed.addAll(undo.added());
        merged.companions().copyTo(folder.path(), changed);
        for (Map.Entry<String, byte[]> file : undo.tokenizer().entrySet()) {
            folder.bytes(file.getKey(), file.getValue());
        }
        for (Map.Entry<String, String> text : undo.texts().entrySet()) {
            folder.text(text.getKey(), text.getValue());
        }
    }

    @Override
    public void close() throws IOException {
        frames.close();
    }
}
