package dev.adapt.formats.architecture.encoder;

import dev.adapt.formats.algebra.Activation;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.LinearLayer;
import dev.adapt.formats.graph.Norm;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.graph.Tensors;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * The heads that a family's classes in transformers put on its encoder, by the names of their modules.
 *
 * @param pooler the layer on the first state that the heads of sequences read, if they have one
 * @param poolerOfBody whether it belongs to the bare model, which then gives its output too
 * @param own the pooling of the class that classifies sequences
 * @param inner what that class has between the pooled state and its last layer
 * @param innerForTokens whether the heads of tokens have it too
 * @param meanBeside whether the last layer reads the mean of all other states beside the first state
 * @param classes the last layer of the class that classifies sequences
 * @param answers that of the class for question answering: where an answer starts, and where it ends
 * @param next that of the class that tells whether a sentence follows another
 * @param words the head for masked words
 * @param dropout on what the last layer reads, while training
 */
record EncoderHeads(
        Optional<Stage> pooler,
        boolean poolerOfBody,
        Pooling own,
        Optional<Stage> inner,
        boolean innerForTokens,
        boolean meanBeside,
        String classes,
        String answers,
        Optional<String> next,
        Optional<Words> words,
        double dropout) {
    /**
     * A layer with a non-linearity.
     *
     * @param norm the module that normalises what it gives
     */
    record Stage(LinearLayer layer, Activation activation, Optional<String> norm) {
        Stage(LinearLayer layer, Activation activation) {
            this(layer, activation, Optional.empty());
        }

        void addTensors(Tensors tensors, Norm kind) {
            layer.addTensors(tensors, "");
            norm.ifPresent(own -> kind.addTensors(tensors, own, layer.out()));
        }

        <T> T apply(Layers<T> model, T x, Norm kind) {
            T active = model.ops().activation(layer.apply(model, "", x), activation);
            return norm.isPresent() ? kind.apply(model, active, norm.get(), layer.out()) : active;
        }
    }

    /**
     * The head that tells masked words.
     *
     * @param module its last layer
     * @param tied whether the weight of that is the embedding table
     * @param bias the tensor of its bias, if it has one
     */
    record Words(Stage stage, String module, boolean tied, Optional<String> bias) {}

    /** Whether a tensor belongs to a head and not to the body. */
    boolean own(String canonical) {
        Stream<String> modules = Stream.of(
                        inner.map(own -> own.layer().name()),
                        inner.flatMap(Stage::norm),
                        Optional.of(classes),
                        Optional.of(Head.MODULE),
                        Optional.of(answers),
                        next,
                        pooler.filter(own -> !poolerOfBody)
                                .map(own -> own.layer().name()),
                        words.map(own -> own.stage().layer().name()),
                        words.flatMap(own -> own.stage().norm()),
                        words.map(Words::module))
                .flatMap(Optional::stream);
        return modules.anyMatch(module -> canonical.startsWith(module + "."))
                || words.flatMap(Words::bias).filter(canonical::equals).isPresent();
    }
}
