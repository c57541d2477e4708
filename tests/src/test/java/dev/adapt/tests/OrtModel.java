package dev.adapt.tests;

import ai.onnxruntime.NodeInfo;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.TensorInfo;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.UnaryOperator;

/** An ONNX model in ONNX Runtime, on the CPU. */
final class OrtModel implements AutoCloseable {
    private final OrtSession session;

    OrtModel(Path path) throws OrtException {
        this(path, UnaryOperator.identity());
    }

    OrtModel(Path path, UnaryOperator<OrtSession.SessionOptions> configured) throws OrtException {
        try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
            options.setIntraOpNumThreads(2);
            session = OrtEnvironment.getEnvironment().createSession(path.toString(), configured.apply(options));
        }
    }

    /** The inputs and outputs, with the dimensions as the file gives them. */
    Map<String, TensorInfo> signature() throws OrtException {
        Map<String, TensorInfo> signature = new LinkedHashMap<>();
        for (Map<String, NodeInfo> side : java.util.List.of(session.getInputInfo(), session.getOutputInfo())) {
            side.forEach((name, info) -> signature.put(name, (TensorInfo) info.getInfo()));
        }
        return signature;
    }

    /** The first output. */
    FloatTensor run(Map<String, LongTensor> inputs) throws OrtException {
        Map<String, OnnxTensor> tensors = new LinkedHashMap<>();
        try {
            for (Map.Entry<String, LongTensor> input : inputs.entrySet()) {
                LongTensor value = input.getValue();
                tensors.put(
                        input.getKey(),
                        OnnxTensor.createTensor(
                                OrtEnvironment.getEnvironment(),
                                LongBuffer.wrap(value.values()),
                                value.shape().toArray()));
            }
            try (OrtSession.Result result = session.run(tensors)) {
                OnnxTensor output = (OnnxTensor) result.get(0);
                FloatBuffer buffer = output.getFloatBuffer();
                float[] values = new float[buffer.remaining()];
                buffer.get(values);
                return new FloatTensor(Shape.of(output.getInfo().getShape()), values);
            }
        } finally {
            tensors.values().forEach(OnnxTensor::close);
        }
    }

    @Override
    public void close() throws OrtException {
        session.close();
    }
}
