package dev.adapt.verify.diagnosis;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.verify.Cause;
import java.util.Map;
import java.util.Set;

/**
 * A mistake that a form may make: it is made if the model, run with the same mistake, gives what the form gives.
 *
 * @param sentence what the form does, in words
 */
record Hypothesis(Cause cause, String sentence, Guess guess) {
    /** Computes outputs with the mistake. */
    @FunctionalInterface
    interface Guess {
        Map<String, DoubleTensor> outputs(Map<String, Tensor> inputs, Set<String> wanted);
    }
}
