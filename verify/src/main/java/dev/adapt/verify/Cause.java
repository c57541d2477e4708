package dev.adapt.verify;

/** What can be wrong with a form of a model. */
public enum Cause {
    /** Tensors are the base's where they should be changed, in all layers. */
    ADAPTER_NOT_MERGED,
    /** The same, in some layers or modules. */
    ADAPTER_PARTLY_MERGED,
    MERGED_TWICE,
    SUBTRACTED,
    /** The change has another scale, such as α/r in place of α/√r. */
    SCALE,
    /** Rows have not the length that DoRA or another gain gives them. */
    MAGNITUDE_IGNORED,
    /** The update was added transposed. */
    UPDATE_TRANSPOSED,
    TRANSPOSED,
    /** A bias is missing or zero. */
    BIAS_LOST,
    /** A tensor is missing. */
    MISSING,
    /** A tensor of zeros. */
    ZEROED,
    NOT_FINITE,
    /** Some rows of a table or matrix differ, the others are right. */
    ROWS,
    /** The head's rows, or the config's labels, are in another order. */
    LABEL_ORDER,
    /** Rows stand one or more places off. */
    SHIFTED,
    /** Rows or columns of another tensor than the head are in another order. */
    PERMUTED,
    /** It holds the values of another tensor. */
    EXCHANGED,
    /** All values are multiplied with one number. */
    FACTOR,
    QUANTIZATION_SCALE,
    VOCABULARY_SIZE,
    SHAPE,
    OTHER_BASE,
    /** The head was the embedding table, and was not changed with it. */
    TIED_HEAD_STALE,
    /** Values differ in no way that has a name. */
    VALUES,
    /** A field of config.json. */
    CONFIG,
    TOKEN_TYPES_IGNORED,
    MASK_IGNORED,
    /** Padding on one side is taken for padding on the other, or positions are counted over it. */
    PADDING,
    /** Positions are off by some, or not looked at. */
    POSITIONS,
    TOKEN_IDS_SHIFTED,
    ROPE_BASE,
    /** Another option of the graph than config.json has, such as an epsilon or a window. */
    OPTION,
    LAYER_MISSING,
    POOLING,
    ACTIVATION,
    PAST,
    FLOAT16_OVERFLOW,
    /** An output is right but for the order, scale or form of its numbers. */
    OUTPUT_FORM,
    /** One output differs where all others agree. */
    ONE_OUTPUT,
    /** A layer computes something else from the same weights and inputs. */
    COMPUTATION
}
