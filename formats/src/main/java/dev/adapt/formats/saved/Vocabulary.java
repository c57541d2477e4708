package dev.adapt.formats.saved;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.names.TensorNames;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.Stream;

/** The number of words of a base that an adapter changes. */
record Vocabulary(Adapter adapter, Checkpoint base, TensorNames names) {
    private static final String WEIGHT = ".weight";

    /** Whether a tensor has a row, or an element, for each word. */
    static boolean isOfWords(TensorNames names, String canonical) {
        return names.table()
                        .map(table -> table + WEIGHT)
                        .filter(canonical::equals)
                        .isPresent()
                || names.head().stream()
                        .flatMap(head -> Stream.of(head + WEIGHT, head + ".bias", names.kept(head + ".bias")))
                        .anyMatch(canonical::equals);
    }

    /**
     * The number of words, if the adapter changes it: all that is as long as the table must then be there.
     *
     * @param saved the tensors it holds whole, by canonical name
     * @throws FormatException naming what is missing
     */
    OptionalInt of(Map<String, Tensor> saved) {
        Optional<Shape> before = names.table().flatMap(table -> names.shape(table + WEIGHT));
        if (before.isEmpty()) {
            return OptionalInt.empty();
        }
        long words = names.table()
                .map(table -> saved.get(table + WEIGHT))
                .map(table -> table.shape().dim(0))
                .orElse(before.get().dim(0));
        for (String head : ofHead()) {
            Tensor own = saved.get(head);
            if (own != null && own.shape().dim(0) != words) {
                throw new FormatException(
                        adapter.file(),
                        head,
                        "is for " + own.shape().dim(0) + " words, the embedding table has " + words
                                + ": the adapter must hold both");
            }
        }
        if (words == before.get().dim(0)) {
            return OptionalInt.empty();
        }
        names.tensors()
                .forEach(name -> requireHeld(name, saved, words, before.get().dim(0)));
        return OptionalInt.of(Math.toIntExact(words));
    }

    private List<String> ofHead() {
        return names.head().stream()
                .flatMap(head -> Stream.of(head + WEIGHT, head + ".bias"))
                .toList();
    }

    private void requireHeld(String name, Map<String, Tensor> saved, long words, long before) {
        boolean head = name.startsWith("lm_head.") || name.startsWith("cls.predictions.") || ofHead().contains(name);
        Shape shape = names.shape(name).orElseThrow();
        boolean tied = names.isTied() && ofHead().getFirst().equals(name);
        if (head && !tied && shape.rank() > 0 && shape.dim(0) == before && !saved.containsKey(name)) {
            throw new FormatException(
                    adapter.file(),
                    "has an embedding table of " + words + " words, and the base's "
                            + names.find(name).orElseThrow() + " is for " + before
                            + ": the adapter must hold both; save it with both modules in modules_to_save");
        }
    }
}
