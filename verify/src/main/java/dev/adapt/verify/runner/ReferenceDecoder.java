package dev.adapt.verify.runner;

import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.generate.Decoder;
import dev.adapt.formats.generate.Generation;
import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.graph.KeyValueCache;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.stream.LongStream;

/** A language model that generates in float64. */
public final class ReferenceDecoder implements Decoder {
    private final Model model;
    private final boolean cached;
    private final ReferenceOps ops = new ReferenceOps();
    private final Map<String, DoubleTensor> leaves = new HashMap<>();
    private Map<String, DoubleTensor> past = Map.of();
    private long[] text = {};

    /**
     * The model must stay open as long as this is used.
     *
     * @param cached whether it keeps the keys and values of earlier tokens; otherwise each token computes all before it
     */
    public ReferenceDecoder(Model model, boolean cached) {
        Generation.requireLanguageModel(model);
        this.model = model;
        this.cached = cached;
    }

    @Override
    public float[] append(long[] tokens) {
        text = LongStream.concat(Arrays.stream(text), Arrays.stream(tokens)).toArray();
        long[] mask = new long[text.length];
        Arrays.fill(mask, 1);
        Map<String, DoubleTensor> inputs = Map.of(
                InputSpec.IDS.name(), row(cached ? tokens : text),
                InputSpec.MASK.name(), row(mask));
        KeyValueCache<DoubleTensor> cache = new KeyValueCache<>(past);
        float[] logits = model.forward(ops, this::leaf, inputs, cached ? Optional.of(cache) : Optional.empty())
                .toFloats();
        past = Map.copyOf(cache.present());
        int vocabulary = model.architecture().tokens().orElseThrow().vocabulary();
        return Arrays.copyOfRange(logits, logits.length - vocabulary, logits.length);
    }

    @Override
    public void restart() {
        past = Map.of();
        text = new long[0];
    }

    private static DoubleTensor row(long[] values) {
        return DoubleTensor.of(new LongTensor(Shape.of(1, values.length), values));
    }

    private DoubleTensor leaf(String name) {
        return leaves.computeIfAbsent(name, absent -> DoubleTensor.of(model.leaf(name)));
    }

    @Override
    public Path source() {
        return model.config().document().path();
    }

    @Override
    public void close() {
        leaves.clear();
    }
}
