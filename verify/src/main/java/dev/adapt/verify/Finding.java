package dev.adapt.verify;

import java.util.List;
import java.util.function.UnaryOperator;

/**
 * What is wrong with a form, and where.
 *
 * @param form the name of the form at fault
 * @param sentence what is wrong with it, in words
 * @param tensors the tensors that differ, worst first
 * @param decides whether it makes the forms unequal even where all outputs agree on the inputs that were run
 */
public record Finding(String form, Cause cause, String sentence, List<TensorError> tensors, boolean decides) {
    /**
     * How far a tensor is from what it should be.
     *
     * @param name its canonical name
     * @param relative the length of the difference over the length of the tensor
     * @param maxAbsolute the largest difference
     * @param index where that is
     * @param found the value there
     * @param expected what it should be
     */
    public record TensorError(
            String name, double relative, double maxAbsolute, List<Long> index, double found, double expected) {
        public TensorError {
            index = List.copyOf(index);
        }
    }

    public Finding {
        tensors = List.copyOf(tensors);
    }

    /** A finding that explains outputs that differ. */
    public Finding(String form, Cause cause, String sentence, List<TensorError> tensors) {
        this(form, cause, sentence, tensors, false);
    }

    /** The same with every text that may come from a file passed through {@code text}. */
    public Finding map(UnaryOperator<String> text) {
        return new Finding(
                text.apply(form),
                cause,
                text.apply(sentence),
                tensors.stream()
                        .map(own -> new TensorError(
                                text.apply(own.name()),
                                own.relative(),
                                own.maxAbsolute(),
                                own.index(),
                                own.found(),
                                own.expected()))
                        .toList(),
                decides);
    }
}
