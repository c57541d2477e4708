package dev.adapt.train.djl;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import dev.adapt.formats.tensor.FloatTensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SequencedMap;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;

/**
 * AdamW (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2) as torch computes it: decay applied to the weights
 * directly, bias-corrected moments, ε added outside the root.
 */
public final class AdamW {
    private static final double BETA1 = 0.9;
    private static final double BETA2 = 0.999;
    private static final double EPSILON = 1e-8;

    /** A trained tensor's moments. */
    private record Moments(NDArray first, NDArray second) {}

    private final double weightDecay;
    private final Map<String, Moments> moments = new LinkedHashMap<>();
    private int steps;

    public AdamW(double weightDecay) {
        this.weightDecay = weightDecay;
    }

    /**
     * Updates all tensors once, in place, and sets their gradients to 0.
     *
     * @param largestNorm of all gradients together, to which they are scaled down where theirs is larger
     * @param rate of a tensor, by its name
     * @return the norm of the gradients
     */
    public double step(
            SequencedMap<String, NDArray> weights, double largestNorm, ToDoubleFunction<String> rate, NDManager step) {
        List<NDArray> gradients = new ArrayList<>();
        NDList squares = new NDList();
        for (NDArray weight : weights.values()) {
            NDArray gradient = Gradients.collected(step, weight);
            gradients.add(gradient);
            squares.add(gradient.square().sum());
        }
        double norm = Math.sqrt(
                NDArrays.stack(squares).toType(DataType.FLOAT64, false).sum().getDouble());
        double clip = norm > largestNorm ? largestNorm / (norm + 1e-6) : 1;
        nextStep();
        int index = 0;
        for (Map.Entry<String, NDArray> weight : weights.entrySet()) {
            NDArray gradient = gradients.get(index++);
            update(weight.getKey(), weight.getValue(), gradient, clip, rate.applyAsDouble(weight.getKey()), step);
            gradient.subi(gradient);
        }
        return norm;
    }

    /** The moments of all tensors: first moments, or second ones. Empty before the first step. */
    public Map<String, FloatTensor> moments(boolean second) {
        Map<String, FloatTensor> values = new LinkedHashMap<>();
        moments.forEach((name, own) -> values.put(name, LoadedModel.read(second ? own.second() : own.first())));
        return values;
    }

    /** Goes on from another run's moments, after so many steps. */
    public void resume(
            int done, Map<String, NDArray> weights, Map<String, FloatTensor> first, Map<String, FloatTensor> second) {
        steps = done;
        weights.forEach((name, weight) ->
                moments.put(name, new Moments(like(weight, first.get(name)), like(weight, second.get(name)))));
    }

    private static NDArray like(NDArray weight, @Nullable FloatTensor values) {
        return weight.getManager().create(Objects.requireNonNull(values).values(), weight.getShape());
    }

    /** Begins a step: all tensors are then updated once. */
    void nextStep() {
        steps++;
    }

    /**
     * Updates a tensor in place.
     *
     * @param gradient scaled by {@code clip} first
     */
    void update(String name, NDArray weight, NDArray gradient, double clip, double learningRate, NDManager step) {
        Moments own = moments.computeIfAbsent(name, absent -> new Moments(weight.zerosLike(), weight.zerosLike()));
        NDArray g = clip == 1 ? gradient : gradient.mul((float) clip);
        g.attach(step);
        own.first().muli((float) BETA1).addi(scaled(g, 1 - BETA1, step));
        own.second().muli((float) BETA2).addi(scaled(inStep(g.square(), step), 1 - BETA2, step));
        double secondScale = 1 / Math.sqrt(1 - Math.pow(BETA2, steps));
        NDArray root =
                scaled(inStep(own.second().sqrt(), step), secondScale, step).addi((float) EPSILON);
        double rate = learningRate / (1 - Math.pow(BETA1, steps));
        weight.muli((float) (1 - learningRate * weightDecay));
        weight.subi(scaled(inStep(own.first().div(root), step), rate, step));
    }

    private static NDArray scaled(NDArray array, double by, NDManager step) {
        return inStep(array.mul((float) by), step);
    }

    private static NDArray inStep(NDArray array, NDManager step) {
        array.attach(step);
        return array;
    }
}
