/**
 * What is on disk and what it means: checkpoints, adapters, tensors.
 *
 * <p>Packages that are exported to everybody are the library's face. The others serve adapt's own modules and change
 * without notice.
 */
@SuppressWarnings("module") // the modules that build on this one are compiled after it
module dev.adapt.formats {
    requires transitive com.fasterxml.jackson.databind;
    requires com.google.protobuf;
    requires flatbuffers.java; // no module name of its own: Java derives this one from the file's name
    requires static org.jspecify;

    exports dev.adapt.formats;
    exports dev.adapt.formats.adapter;
    exports dev.adapt.formats.checkpoint;
    exports dev.adapt.formats.diff;
    exports dev.adapt.formats.graph;
    exports dev.adapt.formats.io;
    exports dev.adapt.formats.method;
    exports dev.adapt.formats.safetensors;
    exports dev.adapt.formats.tensor;
    exports dev.adapt.formats.algebra to
            dev.adapt.merge,
            dev.adapt.train,
            dev.adapt.verify;
    exports dev.adapt.formats.architecture to
            dev.adapt.merge,
            dev.adapt.train,
            dev.adapt.verify,
            dev.adapt.cli;
    exports dev.adapt.formats.architecture.query to
            dev.adapt.merge,
            dev.adapt.train,
            dev.adapt.cli;
    exports dev.adapt.formats.binding to
            dev.adapt.merge,
            dev.adapt.train,
            dev.adapt.verify,
            dev.adapt.cli;
    exports dev.adapt.formats.generate to
            dev.adapt.train,
            dev.adapt.verify,
            dev.adapt.cli;
    exports dev.adapt.formats.gguf to
            dev.adapt.verify,
            dev.adapt.cli;
    exports dev.adapt.formats.gguf.model to
            dev.adapt.verify,
            dev.adapt.cli;
    exports dev.adapt.formats.lors to
            dev.adapt.merge,
            dev.adapt.verify,
            dev.adapt.cli;
    exports dev.adapt.formats.method.dense to
            dev.adapt.merge;
    exports dev.adapt.formats.method.lowrank to
            dev.adapt.merge,
            dev.adapt.cli;
    exports dev.adapt.formats.method.random to
            dev.adapt.cli;
    exports dev.adapt.formats.method.seeded to
            dev.adapt.cli;
    exports dev.adapt.formats.model to
            dev.adapt.merge,
            dev.adapt.train,
            dev.adapt.verify,
            dev.adapt.cli;
    exports dev.adapt.formats.names to
            dev.adapt.merge,
            dev.adapt.verify;
    exports dev.adapt.formats.onnx to
            dev.adapt.verify,
            dev.adapt.cli;
    exports dev.adapt.formats.onnx.export to
            dev.adapt.verify,
            dev.adapt.cli;
    exports dev.adapt.formats.onnx.imports to
            dev.adapt.cli;
    exports dev.adapt.formats.onnx.client to
            dev.adapt.cli;
    exports dev.adapt.formats.sentence to
            dev.adapt.merge,
            dev.adapt.train,
            dev.adapt.verify,
            dev.adapt.cli;
    exports dev.adapt.formats.saved to
            dev.adapt.merge,
            dev.adapt.train,
            dev.adapt.cli;
    exports dev.adapt.formats.single to
            dev.adapt.merge,
            dev.adapt.cli;
}
