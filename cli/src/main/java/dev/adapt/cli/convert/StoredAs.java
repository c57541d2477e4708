package dev.adapt.cli.convert;

import dev.adapt.formats.safetensors.Dtype;

/** The dtypes an adapter can be stored in. */
enum StoredAs {
    F32(Dtype.F32),
    F16(Dtype.F16),
    BF16(Dtype.BF16);

    private final Dtype dtype;

    StoredAs(Dtype dtype) {
        this.dtype = dtype;
    }

    Dtype dtype() {
        return dtype;
    }
}
