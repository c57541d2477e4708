package dev.adapt.verify.form;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.model.Model;
import dev.adapt.verify.runner.OnnxRunner.MainOutput;
import dev.adapt.verify.runner.Precision;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * A checkpoint, with its adapter if it has one.
 *
 * @param name what the report calls it
 * @param checkpoint where its weights are; empty for a model whose layers share weights (LORS)
 * @param adapter beside the checkpoint's weights, unmerged
 * @param stored what its weights were rounded to
 */
record Form(
        String name,
        Path path,
        Model model,
        Optional<Checkpoint> checkpoint,
        Optional<BoundAdapter> adapter,
        Precision stored) {
    MainOutput output() {
        return new MainOutput(
                model.architecture().outputName(), model.architecture().outputAxes());
    }

    /** The model's main output, and of the others those that an exported model gives too. */
    List<String> outputs(Set<String> exported) {
        return model.outputNames().stream()
                .filter(name -> name.equals(output().name()) || exported.contains(name))
                .toList();
    }

    /** Refuses another that cannot be the same model: their outputs could not be compared at all. */
    void requireLike(Form other) {
        if (!other.output().name().equals(output().name())) {
            throw new FormatException(
                    other.path,
                    "gives " + other.output().name() + " where " + name + " (" + path + ") gives "
                            + output().name()
                            + ": one of the two lacks the classification head; give the checkpoint, or the adapter, that has it");
        }
        if (!other.takes().equals(takes())) {
            throw new FormatException(
                    other.path, "takes " + other.takes() + " where " + name + " (" + path + ") takes " + takes());
        }
    }

    private String takes() {
        Architecture architecture = model.architecture();
        return architecture
                .tokens()
                .map(tokens -> "up to " + tokens.longest() + " tokens of a vocabulary of " + tokens.vocabulary())
                .orElseGet(() -> architecture.inputs().getFirst().name() + " "
                        + architecture.inputs().getFirst().axes());
    }
}
