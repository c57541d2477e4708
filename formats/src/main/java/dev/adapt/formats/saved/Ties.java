package dev.adapt.formats.saved;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.names.Spelling;
import dev.adapt.formats.names.TensorNames;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.Tensor;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * What becomes of a language modelling head that is the embedding table. PEFT breaks the tie where an adapter changes one of
 * the two, unless the adapter says that the head follows the table.
 */
record Ties(Adapter adapter, Checkpoint base, TensorNames names, Spelling spelling) {
    private static final String WEIGHT = ".weight";

    private String table() {
        return names.table().orElseThrow();
    }

    private String head() {
        return names.head().orElseThrow();
    }

    private Tensor stored(String module) {
        return storedTensor(module + WEIGHT);
    }

    private Tensor storedTensor(String canonical) {
        TensorView tensor = base.tensors().get(names.find(canonical).orElseThrow());
        return Objects.requireNonNull(tensor);
    }

    /**
     * Adds the other of the two where the adapter holds only the weight beneath an update of one: they were one tensor then,
     * which may have another number of words than the base's.
     *
     * @param saved the tensors that the adapter holds whole, by canonical name
     */
    void complete(Map<String, Tensor> saved) {
        if (names.isTied()) {
            complete(saved, table(), head());
            complete(saved, head(), table());
        }
    }

    private void complete(Map<String, Tensor> saved, String adapted, String other) {
        Tensor beneath = saved.get(adapted + WEIGHT);
        if (beneath != null && adapts(adapted)) {
            saved.putIfAbsent(other + WEIGHT, beneath);
        }
    }

    /**
     * Whether the two differ afterwards.
     *
     * @param saved the tensors that the adapter holds whole, by canonical name
     * @throws FormatException if the adapter does not hold the head's part of a table with more words
     */
    boolean unties(Map<String, Tensor> saved) {
        if (!names.isTied()) {
            return false;
        }
        Optional<Tensor> tableSaved = Optional.ofNullable(saved.get(table() + WEIGHT));
        Optional<Tensor> headSaved = Optional.ofNullable(saved.get(head() + WEIGHT));
        boolean tableAdapted = adapts(table());
        boolean headAdapted = adapts(head());
        boolean keeps = adapter.config().keepsTies() || keepsTable();
        // without a config.json nothing tells whether the model has a head
        boolean knowsHead = base.config().isPresent() || headSaved.isPresent() || headAdapted;
        if (headAdapted && !(keeps && tableAdapted && haveOneUpdate())) {
            return true;
        }
        if (headSaved.isPresent()) {
            Tensor words = tableSaved.orElseGet(() -> stored(table()));
            return (tableAdapted && !keeps) || !SavedTensors.haveSameElements(headSaved.get(), words);
        }
        boolean changes = knowsHead && !keeps && (tableAdapted || tableSaved.isPresent());
        if (changes && tableSaved.isPresent()) {
            requireSameWords(tableSaved.get());
        }
        return changes;
    }

    /** PEFT's head keeps the base's table; of more words, an adapter without the head does not hold the head's new rows. */
    private void requireSameWords(Tensor table) {
        long before = stored(table()).shape().dim(0);
        if (table.shape().dim(0) != before) {
            throw new FormatException(
                    adapter.file(),
                    table() + WEIGHT,
                    "is for " + table.shape().dim(0) + " words, and the head, which no longer follows it, for " + before
                            + ": the adapter must hold both; save it with both modules in modules_to_save, or with"
                            + " ensure_weight_tying");
        }
    }

    /**
     * Lets the head begin as the table that it was, whatever the base stores for it. What else was made of the table while they
     * were one gets a tensor too.
     *
     * @return the adapted modules that need no tensor: none
     */
    Set<String> part(Map<String, Tensor> saved) {
        boolean stored = names.find(head() + WEIGHT).isPresent();
        if (stored && !saved.containsKey(head() + WEIGHT)) {
            Tensor table = stored(table());
            if (!SavedTensors.haveSameElements(stored(head()), table)) {
                saved.put(head() + WEIGHT, table);
            }
        }
        names.tiedCopies().forEach((copy, original) -> {
            boolean bias = !original.equals(table() + WEIGHT);
            Tensor kept = bias ? saved.get(original) : null;
            saved.put(copy, kept == null ? storedTensor(original) : kept);
        });
        return Set.of();
    }

    /**
     * Makes the head what the table becomes: the two stay one.
     *
     * @return the adapted modules that need no tensor, as the adapter spells them
     */
    Set<String> follow(Map<String, Tensor> saved) {
        if (!names.isTied()) {
            return Set.of();
        }
        boolean stored = names.find(head() + WEIGHT).isPresent();
        Tensor table = saved.get(table() + WEIGHT);
        saved.remove(head() + WEIGHT);
        if (stored && table != null) {
            saved.put(head() + WEIGHT, table);
        }
        return stored ? Set.of() : spelled(head());
    }

    private Set<String> spelled(String module) {
        return adapter.modules().stream()
                .filter(own -> spelling.apply(own).equals(module))
                .collect(Collectors.toSet());
    }

    private boolean adapts(String module) {
        return !spelled(module).isEmpty();
    }

    /** Whether the head's factors are the table's, transposed where they are of low rank. */
    private boolean haveOneUpdate() {
        String head = spelled(head()).iterator().next();
        String table = spelled(table()).iterator().next();
        return keepsTable() ? adapter.haveSameParts(head, table) : adapter.haveTransposedParts(head, table);
    }

    /** Whether the method itself lets the head follow the table. */
    private boolean keepsTable() {
        return spelled(table()).stream().anyMatch(adapter::keepsTies);
    }
}
