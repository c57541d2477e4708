package dev.adapt.verify.runner;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoraAdapter;
import ai.onnxruntime.OrtSession;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.generate.Decoder;
import dev.adapt.formats.graph.CacheSpec;
import dev.adapt.formats.graph.InputSpec;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.LongStream;

/** A language model that generates on ONNX Runtime, its inputs and outputs named as Hugging Face exporters name them. */
final class OnnxDecoder implements Decoder {
    private static final String LOGITS = "logits";
    private static final String PAST = CacheSpec.PAST;
    private static final String PRESENT = CacheSpec.PRESENT;

    private final OnnxRunner runner;
    private final Optional<OrtLoraAdapter> adapter;
    private final boolean cached;
    private final List<String> layers;

    /** What the last run gave: its keys and values are the next run's past. */
    private Optional<OrtSession.Result> last = Optional.empty();

    private long[] text = {};

    OnnxDecoder(OnnxRunner runner, Optional<OrtLoraAdapter> adapter, boolean cached) {
        this.runner = runner;
        this.adapter = adapter;
        this.cached = cached;
        this.layers = runner.inputNames().stream()
                .filter(name -> name.startsWith(PAST))
                .map(name -> name.substring(PAST.length()))
                .toList();
        if (cached && layers.isEmpty()) {
            throw new UsageException(
                    runner.path() + " takes no keys and values of earlier tokens: export it with --with-past, or give"
                            + " --no-cache");
        }
    }

    @Override
    public float[] append(long[] tokens) {
        text = LongStream.concat(Arrays.stream(text), Arrays.stream(tokens)).toArray();
        long[] fed = cached ? tokens : text;
        Map<String, OnnxTensor> own = new LinkedHashMap<>();
        try (OrtSession.RunOptions options = new OrtSession.RunOptions()) {
            if (adapter.isPresent()) {
                options.addActiveLoraAdapter(adapter.get());
            }
            inputs(fed, own);
            Map<String, OnnxTensor> feed = new LinkedHashMap<>(own);
            Set<String> outputs = new LinkedHashSet<>(Set.of(LOGITS));
            for (String layer : layers) {
                if (cached) {
                    outputs.add(PRESENT + layer);
                }
                if (!feed.containsKey(PAST + layer)) {
                    feed.put(PAST + layer, tensor(last.orElseThrow(), PRESENT + layer));
                }
            }
            OrtSession.Result result = runner.session().run(feed, outputs, options);
            release();
            last = Optional.of(result);
            return lastRow(tensor(result, LOGITS));
        } catch (OrtException e) {
            throw new FormatException(source(), "ONNX Runtime cannot run it: " + OnnxRunner.reason(e), e);
        } finally {
            own.values().forEach(OnnxTensor::close);
        }
    }

    /** The inputs that are made for one run. */
    private void inputs(long[] fed, Map<String, OnnxTensor> own) throws OrtException {
        long[] mask = new long[text.length];
        Arrays.fill(mask, 1);
        own.put(InputSpec.IDS.name(), row(fed));
        own.put(InputSpec.MASK.name(), row(mask));
        if (runner.inputNames().contains(InputSpec.POSITIONS.name())) {
            own.put(
                    InputSpec.POSITIONS.name(),
                    row(LongStream.range(text.length - (long) fed.length, text.length)
                            .toArray()));
        }
        if (!cached || last.isEmpty()) {
            for (String layer : layers) {
                own.put(PAST + layer, OnnxRun.none(runner, PAST + layer, 1));
            }
        }
    }

    private static OnnxTensor row(long[] values) throws OrtException {
        return OnnxTensor.createTensor(
                OrtEnvironment.getEnvironment(), LongBuffer.wrap(values), new long[] {1, values.length});
    }

    private OnnxTensor tensor(OrtSession.Result result, String name) {
        if (result.get(name).orElse(null) instanceof OnnxTensor tensor) {
            return tensor;
        }
        throw new FormatException(source(), "has no output " + name + ", which goes with its inputs");
    }

    /** Of [1, sequence, vocabulary] the last [vocabulary]. */
    private float[] lastRow(OnnxTensor logits) {
        long[] shape = logits.getInfo().getShape();
        FloatBuffer all = logits.getFloatBuffer();
        if (shape.length != 3 || all == null) {
            throw new FormatException(
                    source(),
                    LOGITS,
                    "has shape " + Arrays.toString(shape) + ", expected [batch, sequence, vocabulary]");
        }
        float[] row = new float[(int) shape[2]];
        all.get(all.limit() - row.length, row);
        return row;
    }

    @Override
    public void restart() {
        release();
        text = new long[0];
    }

    private void release() {
        last.ifPresent(OrtSession.Result::close);
        last = Optional.empty();
    }

    @Override
    public Path source() {
        return runner.path();
    }

    @Override
    public void close() {
        release();
    }
}
