package dev.adapt.formats.gguf;

import dev.adapt.formats.FormatException;
import java.nio.file.Path;

/** The rules that a GGUF file is held to. A {@link FormatException} of the reader names the one that is broken. */
enum GgufRule {
    /** The file begins with the letters GGUF. */
    MAGIC,
    /** Version 2 or 3, little-endian. */
    VERSION,
    /** The counts of tensors and of metadata fit the file. */
    COUNT,
    /** The header ends within the file. */
    TRUNCATED,
    /** Metadata and tensor infos together have at most {@link GgufHeader#MAX_BYTES}. */
    HEADER_TOO_LARGE,
    /** Keys have 1 to 65535 bytes. */
    KEY,
    /** No key stands twice. */
    DUPLICATE_KEY,
    /** The kind of each value is known. */
    VALUE_KIND,
    /** A bool is 0 or 1. */
    BOOL,
    /** Strings are UTF-8. */
    NOT_UTF8,
    /** An array's elements fit the file; arrays hold no arrays of arrays. */
    ARRAY,
    /** {@code general.alignment} is a u32, a power of two from 8 to 65536. */
    ALIGNMENT,
    /** A tensor's name has 1 to 64 bytes. */
    TENSOR_NAME,
    /** No tensor name stands twice. */
    DUPLICATE_TENSOR,
    /** A tensor has 1 to 4 dimensions, each at least 1. */
    DIMENSIONS,
    /** The type is one of {@link GgmlType}. */
    UNKNOWN_TYPE,
    /** A row holds whole blocks of the type. */
    BLOCK,
    /** Elements and bytes are below 2^63. */
    OVERFLOW,
    /** Offsets are multiples of the alignment. */
    MISALIGNED,
    /** No byte belongs to two tensors. */
    OVERLAP,
    /** Between two tensors lies only what the alignment takes. */
    HOLE,
    /** The file holds all bytes of its tensors. */
    MISSING_BYTES,
    /** After the last tensor lies only what the alignment takes. */
    EXTRA_BYTES;

    /** The error for a file that breaks this rule. */
    FormatException brokenBy(Path file, String place, long offset, String reason) {
        return new FormatException(file, place, offset, reason, this);
    }
}
