package dev.adapt.formats.layer;

import dev.adapt.formats.graph.LinearLayer;
import dev.adapt.formats.graph.Norm;
import dev.adapt.formats.graph.Tokens;
import java.util.List;
import java.util.Optional;

/**
 * A decoder as data: all that tells one model of the family from another. Names are canonical.
 *
 * @param hidden the width of token states
 * @param norm every normalisation but those of queries and keys
 * @param projection from the states to the width of the embedding table, before the language modelling head
 * @param finalNorm the module that normalises the last states
 * @param prefix what stands before the names of its body in the checkpoints of a class with a head
 * @param logits the language modelling head
 * @param tokenClassifier the module of transformers' head for token classification
 * @param usualTargets the modules that are adapted where the user does not choose
 * @param className what the names of its classes in transformers begin with
 */
public record DecoderSpec(
        Tokens tokens,
        int hidden,
        Norm norm,
        TokenEmbedding embedding,
        List<DecoderLayer> layers,
        Optional<LinearLayer> projection,
        Optional<String> finalNorm,
        String prefix,
        Logits logits,
        String tokenClassifier,
        List<String> usualTargets,
        String className,
        DecoderHead head) {
    /**
     * The language modelling head.
     *
     * @param module its name where it has a weight of its own
     * @param tied whether its weight is the embedding table
     * @param scale what logits are multiplied with
     * @param cap logits l become cap·tanh(l/cap)
     */
    public record Logits(String module, boolean tied, boolean biased, double scale, Optional<Double> cap) {}
}
