package dev.adapt.merge.undo;

/**
 * What an undo file costs.
 *
 * @param file its bytes
 * @param tensors the bytes of the tensors that it brings back
 */
public record UndoSize(long file, long tensors) {}
