package dev.adapt.formats.onnx;

/**
 * A value of a graph under construction.
 *
 * @param name its name in the graph
 * @param scope the path of the module it belongs to, {@code /encoder/layer.0/output/dense}; empty at the top
 */
record OnnxValue(String name, String scope) {}
