package dev.adapt.formats.safetensors;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;

/** Where the tensors of a checkpoint go, in any order and in pieces; threads may write at once. */
public interface TensorTarget {
    /**
     * Takes bytes of one tensor.
     *
     * @param offset where they belong, in bytes from the tensor's start
     */
    void write(TensorInfo tensor, long offset, MemorySegment bytes) throws IOException;

    /**
     * Copies bytes from another file's channel.
     *
     * @param offset where they belong, in bytes from the start of the data section
     */
    void transfer(FileChannel source, long position, long count, long offset) throws IOException;
}
