package dev.adapt.train.djl;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import dev.adapt.formats.generate.Decoder;
import dev.adapt.formats.generate.Generation;
import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.graph.KeyValueCache;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.train.device.Devices;
import dev.adapt.train.device.Torch;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.stream.LongStream;

/** A language model, with or without an adapter beside it, that generates on DJL's PyTorch engine. */
public final class DjlDecoder implements Decoder {
    /**
     * Elements of a weight from which on threads share a product. On two busy cores a model 64 wide generates 7 tokens a second
     * on two threads and 100 on one.
     */
    private static final long SHARED = 1 << 20;

    private final Path source;
    private final LoadedModel model;
    private final boolean cached;
    private final int threadsBefore = Torch.threads();
    private NDManager kept;
    private Map<String, NDArray> past = Map.of();
    private long[] text = {};

    private DjlDecoder(Path source, LoadedModel model, boolean cached) {
        this.source = source;
        this.model = model;
        this.cached = cached;
        this.kept = model.newStep();
    }

    /** Whether one token is so little work in each layer that threads would mostly wait for each other. */
    private static boolean isSmall(Model model) {
        return model.architecture().linearModules().stream()
                .map(module -> module + ".weight")
                .filter(model.weightNames()::contains)
                .allMatch(weight -> model.leaf(weight).shape().elements() < SHARED);
    }

    /**
     * Puts a model on a device, at the start of a text. The model's checkpoint must stay open meanwhile.
     *
     * @param cached whether it keeps the keys and values of earlier tokens; otherwise each token computes all before it
     * @throws dev.adapt.formats.FormatException if the model has no language modelling head
     * @throws dev.adapt.formats.UsageException if the device is not there
     */
    public static DjlDecoder open(Model model, Devices device, boolean cached) {
        Generation.requireLanguageModel(model);
        Path source = model.config().document().path();
        DjlDecoder decoder = new DjlDecoder(source, new LoadedModel(model, device.resolve()), cached);
        if (cached && isSmall(model)) {
            Torch.setThreads(1);
        }
        return decoder;
    }

    @Override
    public float[] append(long[] tokens) {
        text = LongStream.concat(Arrays.stream(text), Arrays.stream(tokens)).toArray();
        long[] mask = new long[text.length];
        Arrays.fill(mask, 1);
        Map<String, Tensor> inputs = Map.of(
                InputSpec.IDS.name(), row(cached ? tokens : text),
                InputSpec.MASK.name(), row(mask));
        try (NDManager step = model.newStep()) {
            KeyValueCache<NDArray> cache = new KeyValueCache<>(past);
            NDArray logits = cached ? model.forward(step, inputs, cache) : model.forward(step, inputs);
            float[] last = logits.get(new NDIndex("0, -1")).toFloatArray();
            keep(cache.present());
            return last;
        }
    }

    private static LongTensor row(long[] values) {
        return new LongTensor(Shape.of(1, values.length), values);
    }

    /** The keys and values outlive the step that made them, and those before them go. */
    private void keep(Map<String, NDArray> present) {
        NDManager next = model.newStep();
        present.values().forEach(array -> array.attach(next));
        past = Map.copyOf(present);
        kept.close();
        kept = next;
    }

    @Override
    public void restart() {
        keep(Map.of());
        text = new long[0];
    }

    /** The device it runs on, as DJL names it. */
    public String device() {
        return Devices.name(model.device());
    }

    @Override
    public Path source() {
        return source;
    }

    @Override
    public void close() {
        Torch.setThreads(threadsBefore);
        kept.close();
        model.close();
    }
}
