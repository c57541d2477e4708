package dev.adapt.verify.form;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.model.AdaptedWeights;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.OnnxContents;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.verify.Finding;
import dev.adapt.verify.compare.Report;
import dev.adapt.verify.diagnosis.AdapterScale;
import dev.adapt.verify.diagnosis.ConfigDiagnosis;
import dev.adapt.verify.diagnosis.NamedWeights;
import dev.adapt.verify.diagnosis.RunDiagnosis;
import dev.adapt.verify.diagnosis.UnreachedRows;
import dev.adapt.verify.diagnosis.WeightDiagnosis;
import dev.adapt.verify.form.OpenForms.Exported;
import dev.adapt.verify.input.Inputs;
import dev.adapt.verify.runner.OnnxRunner;
import dev.adapt.verify.runner.Precision;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;

/**
 * What is wrong with the forms of a verification. Where outputs differ, all weights and configs are compared with those of
 * the first form, and forms whose weights are right are asked by running them. Where outputs agree, only what no input
 * reaches is compared: rows of tables, names of labels, and a stored head that the graph does not read.
 */
record Diagnosis(OpenForms forms, Settings settings, Inputs inputs) {
    /** Larger tables are compared only where outputs differ: they would not fit into memory three times. */
    private static final long MOST_TABLE = 1L << 27;

    List<Finding> of(Report report) throws IOException {
        if (forms.models().isEmpty()) {
            return report.passed() ? List.of() : exportedOnly();
        }
        return report.passed() ? unreached() : differing();
    }

    private Form first() {
        return forms.models().getFirst();
    }

    private Optional<AdaptedWeights> adapted() {
        return first().checkpoint()
                .flatMap(base -> first().adapter().map(adapter -> new AdaptedWeights(base, adapter)));
    }

    private static NamedWeights weights(Optional<AdaptedWeights> adapted, Checkpoint checkpoint) {
        return adapted.map(NamedWeights::of).orElseGet(() -> NamedWeights.of(checkpoint));
    }

    private WeightDiagnosis weights(NamedWeights expected, Optional<AdaptedWeights> adapted) {
        Architecture architecture = first().model().architecture();
        AdapterScale scale = first().adapter()
                .map(BoundAdapter::method)
                .map(AdapterScale::of)
                .orElse(AdapterScale.UNKNOWN);
        return new WeightDiagnosis(
                expected,
                first().name(),
                adapted,
                scale,
                architecture.requiredTensors().keySet(),
                tables().keySet());
    }

    /** The tables of words and positions by canonical name. */
    private Map<String, Shape> tables() {
        Architecture architecture = first().model().architecture();
        Map<String, Shape> tables = new LinkedHashMap<>();
        architecture.requiredTensors().forEach((name, shape) -> {
            boolean words = architecture
                    .wordTable()
                    .filter(own -> name.equals(own + ".weight"))
                    .isPresent();
            boolean positions = UnreachedRows.isOfPositions(name);
            if (shape.rank() == 2 && (words || positions)) {
                tables.put(name, shape);
            }
        });
        return tables;
    }

    private List<Finding> unreached() throws IOException {
        if (first().checkpoint().isEmpty()) {
            return List.of();
        }
        Optional<AdaptedWeights> adapted = adapted();
        NamedWeights expected = weights(adapted, first().checkpoint().get());
        Set<String> looked = new LinkedHashSet<>();
        tables().forEach((name, shape) -> {
            if (shape.elements() <= MOST_TABLE) {
                looked.add(name);
            }
        });
        UnreachedRows rows = new UnreachedRows(inputs, first().model());
        WeightDiagnosis diagnosis = weights(expected, adapted);
        List<Finding> found = new ArrayList<>();
        for (Form form : others()) {
            NamedWeights own = NamedWeights.of(form.checkpoint().orElseThrow());
            found.addAll(
                    new ConfigDiagnosis(first().model().config(), form.model().config()).labels(form.name()));
            found.addAll(diagnosis.staleHead(form.name(), own));
            found.addAll(rows.of(form.name(), own, expected, looked));
        }
        for (Exported own : forms.exported()) {
            boolean integers = own.precision() == Precision.INT8;
            withWeights(own, expected, (contents, weights) -> {
                found.addAll(rows.of(own.name(), weights, expected, looked));
                // outputs of integers agree so roughly that only the weights show a wrong scale
                for (Finding wrong : integers ? diagnosis.of(own.name(), weights) : List.<Finding>of()) {
                    found.add(new Finding(wrong.form(), wrong.cause(), wrong.sentence(), wrong.tensors(), true));
                }
            });
        }
        return together(found);
    }

    /** The checkpoints that are compared with the first. */
    private List<Form> others() {
        return forms.models().stream()
                .skip(1)
                .filter(form -> form.checkpoint().isPresent())
                .toList();
    }

    private interface WithWeights {
        void accept(OnnxContents contents, NamedWeights weights) throws IOException;
    }

    /** Opens the weights of an exported model, where they can be told and are not an adapter's base. */
    private void withWeights(Exported own, NamedWeights expected, WithWeights action) throws IOException {
        try (OnnxContents contents = OnnxContents.open(own.path())) {
            boolean unmerged = own.adapter().isPresent() || contents.holdsAdapter();
            NamedWeights found = NamedWeights.of(
                    contents,
                    expected,
                    name -> first().model().architecture().transposed(name.replaceFirst("\\.weight$", "")));
            if (!unmerged) {
                action.accept(contents, found);
            }
        } catch (FormatException e) {
            // a graph that cannot be read this way is asked by running it
            return;
        }
    }

    private List<Finding> differing() throws IOException {
        List<Finding> found = new ArrayList<>();
        Set<Form> wrong = new HashSet<>();
        Map<Exported, OptionalDouble> bases = new LinkedHashMap<>();
        Set<Exported> wrongExports = new HashSet<>();
        if (first().checkpoint().isPresent()) {
            Optional<AdaptedWeights> adapted = adapted();
            NamedWeights expected = weights(adapted, first().checkpoint().get());
            WeightDiagnosis diagnosis = weights(expected, adapted);
            for (Form form : others()) {
                listener("comparing the weights of " + form.name());
                List<Finding> own = new ArrayList<>(diagnosis.of(
                        form.name(), NamedWeights.of(form.checkpoint().orElseThrow())));
                own.addAll(new ConfigDiagnosis(
                                first().model().config(), form.model().config())
                        .of(form.name()));
                if (!own.isEmpty()) {
                    wrong.add(form);
                }
                found.addAll(own);
            }
            for (Exported exported : forms.exported()) {
                withWeights(exported, expected, (contents, weights) -> {
                    listener("comparing the weights of " + exported.name());
                    bases.put(exported, contents.ropeBase());
                    List<Finding> own = diagnosis.of(exported.name(), weights);
                    if (!own.isEmpty()) {
                        wrongExports.add(exported);
                    }
                    found.addAll(own);
                });
            }
        }
        byRunning(found, wrong, bases, wrongExports);
        return together(found);
    }

    private void listener(String line) {
        forms.listener().progress().accept(line);
    }

    private void byRunning(
            List<Finding> found, Set<Form> wrong, Map<Exported, OptionalDouble> bases, Set<Exported> wrongExports)
            throws IOException {
        // a merged model can lose a layer where one with an adapter beside it cannot
        Form right = forms.models().stream()
                .skip(1)
                .filter(form -> !wrong.contains(form) && form.stored() == first().stored())
                .findFirst()
                .orElse(first());
        Optional<Model> base =
                first().adapter().isPresent() && first().checkpoint().isPresent()
                        ? base(first().checkpoint().get())
                        : Optional.empty();
        RunDiagnosis diagnosis = new RunDiagnosis(
                right.model(),
                base,
                inputs.batches(),
                first().model().architecture().linearModules().size(),
                settings.tolerance());
        for (Exported exported : forms.exported()) {
            if (!wrongExports.contains(exported)) {
                listener("asking what " + exported.name() + " does otherwise");
                if (diagnosis.isLarge()) {
                    continue;
                }
                try (OnnxRunner session = forms.session(exported)) {
                    Optional<OnnxRunner> plain =
                            exported.adapter().isPresent() ? Optional.empty() : Optional.of(session);
                    OptionalDouble ropeBase = bases.getOrDefault(exported, OptionalDouble.empty());
                    for (Finding own : diagnosis.of(exported.in(session), plain, ropeBase)) {
                        found.add(new Finding(
                                exported.name(), own.cause(), own.sentence(), own.tensors(), own.decides()));
                    }
                }
            }
        }
    }

    private static Optional<Model> base(Checkpoint checkpoint) throws IOException {
        try {
            return Optional.of(Model.of(checkpoint));
        } catch (FormatException e) {
            // a base that is complete only with its adapter
            return Optional.empty();
        }
    }

    private List<Finding> exportedOnly() throws IOException {
        List<Finding> found = new ArrayList<>();
        Exported first = forms.exported().getFirst();
        try (OnnxContents expected = OnnxContents.open(first.path())) {
            NamedWeights named = NamedWeights.of(expected);
            WeightDiagnosis diagnosis = new WeightDiagnosis(
                    named, first.name(), Optional.empty(), AdapterScale.UNKNOWN, Set.of(), Set.of());
            for (Exported other : forms.exported().subList(1, forms.exported().size())) {
                try (OnnxContents contents = OnnxContents.open(other.path())) {
                    found.addAll(diagnosis.of(other.name(), NamedWeights.of(contents, named, name -> true)));
                }
            }
        } catch (FormatException e) {
            // without weights that can be told there is no more to say than that outputs differ
            return List.of();
        }
        return found;
    }

    /** What is wrong with several forms alike is said once. */
    private static List<Finding> together(List<Finding> findings) {
        Map<String, Finding> bySentence = new LinkedHashMap<>();
        for (Finding finding : findings) {
            bySentence.merge(
                    finding.sentence(),
                    finding,
                    (one, other) -> new Finding(
                            one.form() + ", " + other.form(),
                            one.cause(),
                            one.sentence(),
                            one.tensors(),
                            one.decides() || other.decides()));
        }
        return List.copyOf(bySentence.values());
    }
}
