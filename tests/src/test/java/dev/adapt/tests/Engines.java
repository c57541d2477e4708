package dev.adapt.tests;

import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.export.OnnxExport;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.train.device.Devices;
import dev.adapt.train.djl.DjlRunner;
import dev.adapt.verify.runner.Device;
import dev.adapt.verify.runner.OnnxRunner;
import dev.adapt.verify.runner.ReferenceRunner;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;

/** One model on each of the three interpreters. */
record Engines(DjlRunner djl, OnnxRunner onnx, ReferenceRunner reference) implements AutoCloseable {
    /**
     * Loads a model everywhere.
     *
     * @param onnx where its ONNX file is written, in the folder of its weights
     */
    static Engines open(Model model, Path onnx) throws IOException {
        OnnxExport.run(model, onnx, OnnxExport.Weights.LINKED);
        return new Engines(
                DjlRunner.open(model, Devices.CPU),
                OnnxRunner.open(onnx, model.architecture().outputName(), Device.CPU),
                new ReferenceRunner(model));
    }

    /** The largest absolute differences of each engine's output. */
    record Errors(double djl, double onnx, double reference) {
        double largest() {
            return Math.max(djl, Math.max(onnx, reference));
        }
    }

    /** How far each engine is from an expected output. */
    Errors against(DoubleTensor expected, Map<String, Tensor> inputs) {
        return new Errors(
                difference(expected, DoubleTensor.of(djl.run(inputs))),
                difference(expected, onnx.run(inputs)),
                difference(expected, reference.run(inputs)));
    }

    static double difference(DoubleTensor expected, DoubleTensor found) {
        if (!expected.shape().equals(found.shape())) {
            throw new AssertionError("expected " + expected.shape() + ", found " + found.shape());
        }
        double largest = 0;
        for (int i = 0; i < expected.values().length; i++) {
            double error = Math.abs(expected.values()[i] - found.values()[i]);
            // NaN is larger than any number
            largest = error > largest || Double.isNaN(error) ? error : largest;
        }
        return largest;
    }

    @Override
    public void close() {
        djl.close();
        onnx.close();
    }
}
