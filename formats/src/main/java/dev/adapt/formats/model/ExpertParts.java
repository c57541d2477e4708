package dev.adapt.formats.model;

import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.method.Piece;
import dev.adapt.formats.method.Storage;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.names.TensorNames;
import dev.adapt.formats.tensor.Shape;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * The targets of an adapter as a graph computes them. A graph whose experts are layers of their own reads the parts of a stack
 * that a checkpoint holds in one tensor: each expert's gate, up and down projection.
 */
record ExpertParts(Architecture architecture, TensorNames names) {
    List<Target> of(List<Target> targets) {
        Map<String, Shape> required = architecture.requiredTensors();
        return targets.stream().flatMap(target -> parts(target, required)).toList();
    }

    private Stream<Target> parts(Target target, Map<String, Shape> required) {
        if (!(target.storage() instanceof Storage.Expert(int _, int _, boolean transposed))
                || transposed
                || required.containsKey(target.canonical())) {
            return Stream.of(target);
        }
        List<String> parts = names.parts(target.canonical(), target.piece().expert());
        boolean read = !parts.isEmpty()
                && target.piece().parts() == 1
                && target.out() % parts.size() == 0
                && parts.stream().allMatch(part -> required.containsKey(part + ".weight"));
        return read
                ? IntStream.range(0, parts.size()).mapToObj(part -> part(target, parts.get(part), part, parts.size()))
                : Stream.of(target);
    }

    private static Target part(Target whole, String canonical, int part, int parts) {
        Piece piece = whole.piece();
        return new Target(
                whole.module(),
                canonical,
                whole.tensor(),
                whole.out() / parts,
                whole.in(),
                new Storage.Expert(piece.expert() * parts + part, piece.experts() * parts, false),
                whole.biased(),
                whole.parameter(),
                new Piece(piece.expert(), piece.experts(), part, parts));
    }
}
