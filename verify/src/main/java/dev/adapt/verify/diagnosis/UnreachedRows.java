package dev.adapt.verify.diagnosis;

import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.verify.Cause;
import dev.adapt.verify.Finding;
import dev.adapt.verify.Inputs;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Rows of tables that differ and that no input of a verification reached, so that outputs could not show it. */
public final class UnreachedRows {
    /** More rows than the longest sequence may be read: some models count from the id of padding, or from 2. */
    private static final int OFFSET = 2;

    private final BitSet words = new BitSet();
    private final int positions;

    /** The rows that inputs reach in a model's tables. */
    public UnreachedRows(Inputs inputs, Model model) {
        int longest = 0;
        for (Map<String, Tensor> batch : inputs.batches()) {
            if (batch.get(InputSpec.IDS.name()) instanceof LongTensor ids) {
                for (long id : ids.values()) {
                    words.set((int) Math.max(0, Math.min(Integer.MAX_VALUE - 1, id)));
                }
                longest = Math.max(longest, (int) ids.shape().dim(ids.shape().rank() - 1));
            }
        }
        boolean offset = model.architecture()
                .tokens()
                .filter(tokens -> model.weightNames().contains("embeddings.position_embeddings.weight")
                        && model.leaf("embeddings.position_embeddings.weight")
                                        .shape()
                                        .dim(0)
                                > tokens.longest())
                .isPresent();
        this.positions = longest + (offset ? OFFSET : 0);
    }

    /** Whether a tensor is a table of learned positions, by its name. */
    public static boolean isOfPositions(String name) {
        return name.endsWith("position_embeddings.weight")
                || name.endsWith("wpe.weight")
                || name.endsWith("embed_positions.weight");
    }

    /** Those of some tables. */
    public List<Finding> of(String form, NamedWeights found, NamedWeights expected, Set<String> tables) {
        List<Finding> findings = new ArrayList<>();
        for (String name : tables) {
            Optional<FloatTensor> own = found.of(name);
            Optional<FloatTensor> should = expected.of(name);
            if (own.isPresent()
                    && should.isPresent()
                    && own.get().shape().equals(should.get().shape())) {
                rows(form, name, own.get(), should.get(), found.noise().apply(name))
                        .ifPresent(findings::add);
            }
        }
        return findings;
    }

    private Optional<Finding> rows(
            String form, String name, FloatTensor found, FloatTensor expected, NamedWeights.Noise noise) {
        RowMatch match = new RowMatch(found, expected, noise.of(Values.largest(expected)));
        List<Integer> unreached = match.differing().stream()
                .filter(row -> isOfPositions(name) ? row >= positions : !words.get(row))
                .toList();
        if (unreached.isEmpty()) {
            return Optional.empty();
        }
        String sentence = name + ": " + RowMatch.range(unreached, match.rows()) + " of " + match.rows() + " differ"
                + (unreached.size() == 1 ? "s" : "") + ", and no input reached "
                + (unreached.size() == 1 ? "it" : "them");
        return Optional.of(new Finding(form, Cause.ROWS, sentence, List.of(Values.error(name, found, expected)), true));
    }
}
