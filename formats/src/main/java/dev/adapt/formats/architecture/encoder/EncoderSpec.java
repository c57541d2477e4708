package dev.adapt.formats.architecture.encoder;

import dev.adapt.formats.graph.Norm;
import dev.adapt.formats.layer.DecoderLayer;
import java.util.List;
import java.util.Optional;

/**
 * An encoder as data: all that tells one model of the family from another. Names are canonical.
 *
 * @param hidden the width of token states
 * @param norm every normalisation
 * @param layers in their order; the same layer several times where they share their weights
 * @param finalNorm the module that normalises the last states
 * @param prefix what stands before the names of its body in the checkpoints of a class with a head
 * @param className what the names of its classes in transformers begin with
 * @param classifier what the name of the class that classifies ends with
 * @param usualTargets the modules that are adapted where the user does not choose
 * @param output what the class that the config names gives
 */
record EncoderSpec(
        int hidden,
        Norm norm,
        EncoderInput input,
        List<DecoderLayer> layers,
        Optional<String> finalNorm,
        String prefix,
        String className,
        String classifier,
        List<String> usualTargets,
        EncoderHeads heads,
        EncoderOutput output) {
    /** The module of the embedding table, if it reads words. */
    Optional<String> words() {
        return input instanceof EncoderInput.Words own ? Optional.of(own.words()) : Optional.empty();
    }
}
