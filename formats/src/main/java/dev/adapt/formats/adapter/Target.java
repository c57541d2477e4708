package dev.adapt.formats.adapter;

/**
 * A linear layer that an adapter adapts.
 *
 * @param module its name as the adapter's keys spell it
 * @param canonical its canonical name in the architecture
 * @param tensor the base's tensor that holds its weight
 * @param transposed whether that tensor is stored [in, out], as Conv1D does, and not [out, in]
 */
public record Target(String module, String canonical, String tensor, int out, int in, boolean transposed) {}
