/**
 * Compares the forms of a model on the same inputs, with ONNX Runtime and a float64 reference.
 *
 * <p>The packages that only adapt's command line uses are exported to it alone and change without notice.
 */
@SuppressWarnings("module") // the command line is compiled after this module
module dev.adapt.verify {
    requires transitive dev.adapt.formats;
    requires com.microsoft.onnxruntime;
    requires org.yaml.snakeyaml;
    requires static org.jspecify;

    exports dev.adapt.verify;
    exports dev.adapt.verify.compare;
    exports dev.adapt.verify.form;
    exports dev.adapt.verify.suite;
    exports dev.adapt.verify.input to
            dev.adapt.cli;
    exports dev.adapt.verify.runner to
            dev.adapt.cli;
}
