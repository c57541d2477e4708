package dev.adapt.formats.safetensors;

import dev.adapt.formats.FormatException;
import java.nio.file.Path;

/**
 * The rules that a safetensors file is held to. A {@link FormatException} of the reader names the one
 * that is broken.
 */
enum SafetensorsRule {
    /** The file has the 8 bytes of the header's length. */
    FILE_TOO_SMALL,
    /** The header has at most {@link SafetensorsHeader#MAX_LENGTH} bytes. */
    HEADER_TOO_LARGE,
    /** The header ends within the file. */
    HEADER_BEYOND_FILE,
    /** The header starts with an opening brace. */
    HEADER_START,
    /** The header is UTF-8. */
    NOT_UTF8,
    /** The header is JSON, whose strings are Unicode. */
    NOT_JSON,
    /** No key stands twice in one object. */
    DUPLICATE_KEY,
    /** Nothing but spaces follows the header's object. */
    PADDING,
    /** {@code __metadata__} maps strings to strings, or is null. */
    METADATA,
    /** A tensor is an object of dtype, shape and data_offsets. */
    TENSOR_FIELDS,
    /** The dtype is one of {@link Dtype}. */
    UNKNOWN_DTYPE,
    /** The shape is a list of non-negative integers. */
    SHAPE,
    /** Offsets are two non-negative integers, the first no greater than the second. */
    OFFSETS,
    /** The shape's product and the tensor's size are below 2^63. */
    OVERFLOW,
    /** A tensor of a packed dtype fills whole bytes. */
    MISALIGNED,
    /** The offsets span what shape and dtype need. */
    SIZE,
    /** No byte belongs to two tensors. */
    OVERLAP,
    /** Every byte before a tensor belongs to one. */
    HOLE,
    /** The file holds all bytes of its tensors. */
    MISSING_BYTES,
    /** The file ends with its last tensor. */
    EXTRA_BYTES;

    /** The error for a file that breaks this rule. */
    FormatException brokenBy(Path file, String place, long offset, String reason) {
        return new FormatException(file, place, offset, reason, this);
    }
}
