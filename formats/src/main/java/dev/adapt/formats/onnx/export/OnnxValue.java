package dev.adapt.formats.onnx.export;

import dev.adapt.formats.onnx.proto.TensorProto;

/**
 * A value of a graph under construction.
 *
 * @param name its name in the graph
 * @param scope the path of the module it belongs to, {@code /encoder/layer.0/output/dense}; empty at the top
 * @param type of its elements
 */
record OnnxValue(String name, String scope, TensorProto.DataType type) {}
