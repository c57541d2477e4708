package dev.adapt.verify.diagnosis;

import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.verify.Cause;
import dev.adapt.verify.Finding;
import dev.adapt.verify.compare.Comparison;
import dev.adapt.verify.compare.Equivalence;
import dev.adapt.verify.compare.Tolerance;
import dev.adapt.verify.runner.OnnxRunner;
import dev.adapt.verify.runner.ReferenceRunner;
import dev.adapt.verify.runner.Runner;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;

/**
 * Asks by running which mistake a form makes whose weights are right.
 *
 * @param model what the form should compute
 * @param base the base without its adapter, where there is one
 * @param batches small inputs on which to ask
 */
public record RunDiagnosis(
        Model model, Optional<Model> base, List<Map<String, Tensor>> batches, int products, Tolerance tolerance) {
    /** Batches that fail, and batches that pass, on which a hypothesis must hold. */
    private static final int ASKED = 3;

    /** Tokens of a batch that is asked. */
    private static final long MOST_TOKENS = 300;

    /** Multiplications of a model's linear layers for a token, beyond which asking takes too long. */
    private static final long MOST_WEIGHTS = 200_000_000;

    /**
     * What is wrong. Takes too long for a model that {@link #isLarge}.
     *
     * @param suspect the form
     * @param onnx the form's model, where it is an ONNX model without an adapter of its own
     * @param ropeBase that its file holds
     */
    public List<Finding> of(Runner suspect, Optional<OnnxRunner> onnx, OptionalDouble ropeBase) throws IOException {
        ReferenceRunner reference = new ReferenceRunner(model);
        Runner right = new Runner("reference", model.outputNames(), reference::outputs);
        Runner asked = remembering(suspect);
        List<Map<String, Tensor>> cases = cases(right, asked);
        if (cases.isEmpty()) {
            return List.of();
        }
        List<Finding> found = new ArrayList<>();
        boolean notFinite = failures(right, asked, cases.getFirst()).stream()
                .anyMatch(failure -> failure.contains("NaN or infinite"));
        if (notFinite && onnx.isPresent()) {
            States.of(onnx.get().path(), suspect.precision(), reference, cases.getFirst())
                    .flatMap(States::overflow)
                    .ifPresent(parting -> found.add(finding(suspect, parting.cause(), parting.sentence())));
        }
        if (found.isEmpty()) {
            onnx.filter(OnnxRunner::isCached)
                    .flatMap(cached -> past(suspect, cached, right, reference, cases.getFirst()))
                    .ifPresent(found::add);
        }
        if (found.isEmpty()) {
            output(suspect, asked, reference, cases.getFirst()).ifPresent(found::add);
        }
        if (found.isEmpty()) {
            hypotheses(reference, ropeBase).stream()
                    .filter(guess -> holds(guess, asked, cases))
                    .findFirst()
                    .ifPresent(guess -> found.add(finding(suspect, guess.cause(), guess.sentence())));
        }
        if (found.isEmpty() && onnx.isPresent()) {
            States.of(onnx.get().path(), suspect.precision(), reference, cases.getFirst())
                    .flatMap(States::parting)
                    .ifPresent(parting -> found.add(finding(suspect, parting.cause(), parting.sentence())));
        }
        oneOutput(suspect, right, asked, cases).ifPresent(found::add);
        return found;
    }

    /** Whether the model has too many weights to be asked by running it in float64. */
    public boolean isLarge() {
        Map<String, Shape> tensors = model.architecture().requiredTensors();
        return model.architecture().linearModules().stream()
                        .map(module -> tensors.get(module + ".weight"))
                        .filter(Objects::nonNull)
                        .mapToLong(Shape::elements)
                        .sum()
                > MOST_WEIGHTS;
    }

    private static Finding finding(Runner suspect, Cause cause, String sentence) {
        return new Finding(suspect.name(), cause, sentence, List.of());
    }

    private List<Hypothesis> hypotheses(ReferenceRunner reference, OptionalDouble ropeBase) {
        List<Hypothesis> all = new ArrayList<>();
        base.ifPresent(own -> all.add(new Hypothesis(
                Cause.ADAPTER_NOT_MERGED,
                "equals the base: the adapter was not merged",
                new ReferenceRunner(own)::outputs)));
        if (model.architecture().tokens().isPresent()) {
            all.addAll(new InputMistakes(model, reference).all());
        }
        all.addAll(new GraphMistakes(model, ropeBase).all());
        return all;
    }

    /** A form that runs once on each batch, and remembers what it gave. */
    private static Runner remembering(Runner form) {
        IdentityHashMap<Map<String, Tensor>, Map<String, DoubleTensor>> known = new IdentityHashMap<>();
        Set<String> all = new LinkedHashSet<>(form.outputs());
        return form.running((inputs, wanted) ->
                known.computeIfAbsent(inputs, own -> form.run().outputs(own, all)));
    }

    /** The smallest batches that fail, the smallest first, and after them some that pass. */
    private List<Map<String, Tensor>> cases(Runner right, Runner suspect) {
        List<Map<String, Tensor>> failing = new ArrayList<>();
        List<Map<String, Tensor>> passing = new ArrayList<>();
        List<Map<String, Tensor>> small = batches.stream()
                .filter(batch -> tokens(batch) <= MOST_TOKENS)
                .sorted(Comparator.comparingLong(RunDiagnosis::tokens))
                .toList();
        for (Map<String, Tensor> batch : small) {
            boolean fails = !failures(right, suspect, batch).isEmpty();
            (fails ? failing : passing).add(batch);
        }
        // a longer batch of those that fail shows more than the shortest
        List<Map<String, Tensor>> cases = new ArrayList<>();
        failing.stream().limit(ASKED - 1).forEach(cases::add);
        if (failing.size() >= ASKED) {
            cases.add(failing.getLast());
        }
        if (!cases.isEmpty()) {
            passing.reversed().stream().limit(ASKED).forEach(cases::add);
        }
        return cases;
    }

    private static long tokens(Map<String, Tensor> batch) {
        Tensor first = batch.get(InputSpec.IDS.name());
        return first == null ? 1 : first.shape().elements();
    }

    private List<String> failures(Runner left, Runner right, Map<String, Tensor> batch) {
        return Equivalence.compare(List.of(left, right), List.of(batch), products, tolerance).stream()
                .flatMap(comparison -> comparison.failure().stream())
                .toList();
    }

    private boolean holds(Hypothesis guess, Runner suspect, List<Map<String, Tensor>> cases) {
        Runner guessed = new Runner("guess", model.outputNames(), guess.guess()::outputs);
        try {
            return cases.stream()
                    .allMatch(batch -> failures(guessed, suspect, batch).isEmpty());
        } catch (IllegalArgumentException | IndexOutOfBoundsException e) {
            // the mistake cannot be made with this model and these inputs
            return false;
        }
    }

    /** A form that is right without a past, and wrong with one. */
    private Optional<Finding> past(
            Runner suspect, OnnxRunner onnx, Runner right, ReferenceRunner reference, Map<String, Tensor> batch) {
        Runner whole =
                new Runner(suspect.name(), suspect.precision(), suspect.outputs(), suspect.incomparable(), onnx::whole);
        Map<String, DoubleTensor> expected = reference.outputs(batch, new LinkedHashSet<>(model.outputNames()));
        Map<String, DoubleTensor> found = onnx.whole(batch, new LinkedHashSet<>(suspect.outputs()));
        for (Map.Entry<String, DoubleTensor> output : found.entrySet()) {
            Optional<OutputMistakes.Mistake> exchanged = output.getKey().startsWith("present.")
                    ? OutputMistakes.of(output.getKey(), output.getValue(), expected, false, tolerance.fp32())
                    : Optional.empty();
            if (exchanged.isPresent()) {
                return Optional.of(finding(
                        suspect,
                        Cause.PAST,
                        "past in the wrong order: " + exchanged.get().sentence()));
            }
        }
        if (!failures(right, whole, batch).isEmpty()) {
            return Optional.empty();
        }
        return Optional.of(finding(
                suspect,
                Cause.PAST,
                "past in the wrong order or ignored: without a past all outputs agree, with keys and values of earlier"
                        + " tokens they do not"));
    }

    private Optional<Finding> output(
            Runner suspect, Runner asked, ReferenceRunner reference, Map<String, Tensor> batch) {
        Set<String> names = new LinkedHashSet<>(model.outputNames());
        names.retainAll(suspect.outputs());
        Map<String, DoubleTensor> expected = new LinkedHashMap<>(reference.outputs(batch, names));
        Map<String, DoubleTensor> found = asked.run().outputs(batch, names);
        boolean labels = model.architecture().head().isPresent();
        return names.stream()
                .flatMap(name ->
                        OutputMistakes.of(
                                name, Objects.requireNonNull(found.get(name)), expected, labels, tolerance.fp32())
                                .stream())
                .findFirst()
                .map(mistake -> finding(suspect, mistake.cause(), mistake.sentence()));
    }

    private Optional<Finding> oneOutput(Runner suspect, Runner right, Runner asked, List<Map<String, Tensor>> cases) {
        List<Comparison> all = Equivalence.compare(List.of(right, asked), cases, products, tolerance);
        List<String> wrong = all.stream()
                .filter(own -> !own.passed())
                .map(Comparison::output)
                .toList();
        List<String> agreeing =
                all.stream().filter(Comparison::passed).map(Comparison::output).toList();
        return wrong.isEmpty() || agreeing.isEmpty()
                ? Optional.empty()
                : Optional.of(finding(
                        suspect,
                        Cause.ONE_OUTPUT,
                        "only " + String.join(", ", wrong) + " differs; " + String.join(", ", agreeing)
                                + (agreeing.size() == 1 ? " agrees" : " agree")));
    }
}
