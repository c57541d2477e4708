package dev.adapt.train.djl;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.JniUtils;

/**
 * The backward pass of a loss that may be computed in parts.
 *
 * @param wanted whether there is one: not in evaluation
 * @param share what the loss is multiplied with
 * @param again whether more is to follow after the last part, by what {@link Recomputation} kept
 */
public record Gradients(boolean wanted, double share, boolean again) {
    /** No backward pass. */
    public static final Gradients NONE = new Gradients(false, 0, false);

    /** Takes the gradients of a number that is all of the loss, or what is left of it. */
    public void last(NDManager step, NDArray loss) {
        of(step, loss, again);
    }

    /** Takes the gradients of a part of the loss; other parts share some of its graph. */
    public void part(NDManager step, NDArray loss) {
        of(step, loss, true);
    }

    private void of(NDManager step, NDArray loss, boolean kept) {
        if (wanted) {
            backward(loss, step.full(loss.getShape(), (float) share, DataType.FLOAT32), kept);
        }
    }

    /** The same values, whose gradient is collected and goes no further until {@link #passOn}. */
    public NDArray collecting(NDManager step, NDArray values) {
        if (!wanted) {
            return values;
        }
        return detached(step, values);
    }

    /** The same values as a start of its own, which collects a gradient. */
    public static NDArray detached(NDManager step, NDArray values) {
        NDArray detached = values.stopGradient();
        detached.attach(step);
        detached.setRequiresGradient(true);
        return detached;
    }

    /** Passes on the gradient that was collected. */
    public void passOn(NDManager step, NDArray collecting, NDArray values) {
        if (wanted) {
            passOn(step, collecting, values, again);
        }
    }

    /**
     * The same.
     *
     * @param values may have been computed from nothing that is trained: then the gradient ends there
     * @param kept whether what they were computed from stays, for another pass
     */
    static void passOn(NDManager step, NDArray collecting, NDArray values, boolean kept) {
        // PyTorch refuses the pass where nothing is trained, and DJL cannot tell: there is always something in this sum
        NDArray nothing = step.zeros(new Shape(1));
        nothing.setRequiresGradient(true);
        NDArray sum = values.add(nothing);
        sum.attach(step);
        backward(sum, collected(step, collecting), kept);
    }

    /** The gradient that an array has collected: the accumulator itself, as DJL hands it out. */
    public static NDArray collected(NDManager step, NDArray collecting) {
        NDArray gradient = collecting.getGradient();
        gradient.attach(step);
        return gradient;
    }

    /**
     * One backward pass.
     *
     * @param gradient that of the array
     * @param kept whether what the array was computed from stays, for another pass
     */
    static void backward(NDArray array, NDArray gradient, boolean kept) {
        JniUtils.backward((PtNDArray) array, (PtNDArray) gradient, kept, false);
    }
}
