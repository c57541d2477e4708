package dev.adapt.train.djl;

import ai.djl.Device;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.adapt.formats.graph.KeyValueCache;
import dev.adapt.formats.graph.Unfinished;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * A model whose tensors are on a device: the frozen ones as they are, the trained ones with gradients. All are float32,
 * whatever the base stores: DJL's native layer (0.36) has no bfloat16 and ends the process where one is made, and its
 * conversions to float16 let no gradient through.
 */
public final class LoadedModel implements AutoCloseable {
    private final Model model;
    private final NDManager manager;
    private final Optional<LoadedModel> original;
    private final Map<String, NDArray> arrays = new ConcurrentHashMap<>();

    public LoadedModel(Model model, Device device) {
        this(model, device, Optional.empty());
    }

    private LoadedModel(Model model, Device device, Optional<LoadedModel> original) {
        this.model = model;
        this.manager = NDManager.newBaseManager(device, "PyTorch");
        this.original = original;
    }

    /** A model with the same tensors, in the same memory, whose trained ones have gradients of their own. */
    public LoadedModel replica() {
        return new LoadedModel(model, device(), Optional.of(this));
    }

    /** Where the tensors live. */
    public Device device() {
        return manager.getDevice();
    }

    /** A manager for what one step computes. */
    public NDManager newStep() {
        return manager.newSubManager();
    }

    /** The tensors that training changes, with gradients switched on. */
    public SequencedMap<String, NDArray> trainable() {
        SequencedMap<String, NDArray> trainable = new LinkedHashMap<>();
        for (String name : model.trainable()) {
            // what DJL calls stopping the gradient is a second array over the same memory
            NDArray array = original.isEmpty()
                    ? leaf(name)
                    : own(original.get().leaf(name).stopGradient());
            array.setRequiresGradient(true);
            arrays.put(name, array);
            trainable.put(name, array);
        }
        return trainable;
    }

    private NDArray leaf(String name) {
        return arrays.computeIfAbsent(
                name, absent -> original.isPresent() ? original.get().leaf(name) : create(manager, model.leaf(name)));
    }

    private NDArray own(NDArray array) {
        array.attach(manager);
        return array;
    }

    /** The forward pass, in the manager of a step. */
    NDArray forward(NDManager step, Map<String, ? extends Tensor> inputs) {
        return forward(step, inputs, Optional.empty());
    }

    /** The forward pass but for its end. */
    public Unfinished<NDArray> unfinished(NDArrayOps ops, Map<String, ? extends Tensor> inputs) {
        return model.unfinished(ops, this::leaf, arrays(ops.manager(), inputs));
    }

    /** The forward pass of a decoder, with the keys and values of earlier tokens. */
    NDArray forward(NDManager step, Map<String, ? extends Tensor> inputs, KeyValueCache<NDArray> cache) {
        return forward(step, inputs, Optional.of(cache));
    }

    private NDArray forward(
            NDManager step, Map<String, ? extends Tensor> inputs, Optional<KeyValueCache<NDArray>> cache) {
        return model.forward(new NDArrayOps(step, Optional.empty()), this::leaf, arrays(step, inputs), cache);
    }

    /** Some of the model's outputs, in the manager of a step, as {@link Model#outputs} names them. */
    SequencedMap<String, NDArray> outputs(NDManager step, Map<String, ? extends Tensor> inputs, Set<String> wanted) {
        return model.outputs(new NDArrayOps(step, Optional.empty()), this::leaf, arrays(step, inputs), wanted);
    }

    private static Map<String, NDArray> arrays(NDManager step, Map<String, ? extends Tensor> inputs) {
        Map<String, NDArray> arrays = new LinkedHashMap<>();
        inputs.forEach((name, tensor) -> arrays.put(name, create(step, tensor)));
        return arrays;
    }

    /**
     * A tensor on a manager's device. DJL lends PyTorch the memory of a Java buffer, aligned as chance has it, and MKL's
     * results depend on alignment: a copy in PyTorch's own memory makes runs repeatable.
     */
    public static NDArray create(NDManager manager, Tensor tensor) {
        Shape shape = new Shape(tensor.shape().toArray());
        if (tensor instanceof TensorView view && isReadDirectly(view, manager)) {
            return widened(manager, view, shape);
        }
        try (NDArray lent = tensor instanceof LongTensor ids
                ? manager.create(ids.values(), shape)
                : manager.create(tensor.toFloats(), shape)) {
            return lent.duplicate();
        }
    }

    private static boolean isReadDirectly(TensorView view, NDManager manager) {
        long bytes = view.shape().elements() * Float.BYTES;
        return view.dtype().floatFormat().isPresent()
                && bytes > 0
                && bytes <= Integer.MAX_VALUE
                && !manager.getDevice().isGpu();
    }

    /** Widens a file's numbers into PyTorch's memory, without an array of Java in between. */
    private static NDArray widened(NDManager manager, TensorView view, Shape shape) {
        NDArray array = manager.create(shape, DataType.FLOAT32);
        view.widen(MemorySegment.ofBuffer(array.toByteBuffer(true)));
        return array;
    }

    /** An array's values, in memory. */
    public static FloatTensor read(NDArray array) {
        return new FloatTensor(
                dev.adapt.formats.tensor.Shape.of(array.getShape().getShape()), array.toFloatArray());
    }

    @Override
    public void close() {
        manager.close();
    }
}
