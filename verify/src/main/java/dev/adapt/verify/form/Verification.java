package dev.adapt.verify.form;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Tokens;
import dev.adapt.formats.onnx.OnnxContents;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.verify.Inputs;
import dev.adapt.verify.OnnxRunner;
import dev.adapt.verify.Precision;
import dev.adapt.verify.ReferenceRunner;
import dev.adapt.verify.Report;
import dev.adapt.verify.Runner;
import dev.adapt.verify.form.OpenForms.Exported;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;

/** Brings the forms of a model together, runs them on the same inputs, and says where they part if they do. */
public final class Verification {
    private static final int MAX_LENGTH = 128;

    /** What a model takes of which nothing is known but its graph: sequences of any length. */
    private static final int UNKNOWN_LENGTH = 64;

    private final OpenForms forms;
    private final Settings settings;
    private final Engine.Listener listener;
    private final List<Runner> runners = new ArrayList<>();

    private Verification(OpenForms forms, Settings settings, Engine.Listener listener) {
        this.forms = forms;
        this.settings = settings;
        this.listener = listener;
    }

    /**
     * Runs all forms, and the float64 reference of the first, on the same inputs.
     *
     * @throws FormatException if a file is wrong, or the forms cannot be those of one model
     * @throws UsageException if a form or a setting does not fit the others
     */
    public static Report of(Forms forms, Settings settings, Engine.Listener listener) throws IOException {
        try (OpenForms open = new OpenForms(listener)) {
            open.open(forms, settings);
            return new Verification(open, settings, listener).run();
        }
    }

    private Report run() throws IOException {
        Inputs inputs = inputs();
        Set<String> exported = new LinkedHashSet<>();
        forms.exported().forEach(own -> exported.addAll(own.onnx().outputNames()));
        Optional<SentenceEmbedding> embedding = embedding(exported, inputs);
        for (Form form : forms.models()) {
            if (settings.engine().isPresent()) {
                runners.add(with(embedding, onEngine(form, form.outputs(exported))));
            }
        }
        List<Runner> onnx = new ArrayList<>();
        for (Exported own : forms.exported()) {
            onnx.add(own.runner().storedIn(stored(own)));
        }
        runners.addAll(onnx);
        boolean inJava = settings.reference() || settings.engine().isEmpty();
        for (Form form : forms.models()) {
            boolean first = form.equals(forms.models().getFirst());
            if (inJava && (first || settings.engine().isEmpty())) {
                String name = settings.engine().isPresent() ? "reference: " + form.name() : form.name();
                runners.add(with(
                        embedding,
                        new Runner(
                                        name + " (float64)",
                                        form.outputs(exported),
                                        new ReferenceRunner(form.model())::outputs)
                                .storedIn(form.stored())));
            }
        }
        listener.progress().accept("running " + runners.size() + " forms on " + inputs.description());
        Report report = Report.of(runners, inputs, products(), settings.tolerance());
        return report.with(new Diagnosis(forms, settings, onnx, inputs).of(report));
    }

    /** Linear layers one after the other: all of them, since those beside each other are few. */
    private int products() {
        return forms.models().isEmpty()
                ? 1
                : forms.models()
                        .getFirst()
                        .model()
                        .architecture()
                        .linearModules()
                        .size();
    }

    private Precision stored(Exported own) throws IOException {
        boolean besideAdapter =
                forms.models().stream().anyMatch(form -> form.adapter().isPresent());
        if (!besideAdapter || own.adapter().isPresent()) {
            return Precision.FLOAT32;
        }
        try (OnnxContents contents = OnnxContents.open(own.onnx().path())) {
            return contents.weights().stream()
                    .filter(weight -> weight.shape().rank() == 2)
                    .map(weight -> Precision.of(weight.dtype()))
                    .reduce(Precision.FLOAT32, Precision::or);
        } catch (FormatException e) {
            // a model whose weights cannot be told apart runs all the same
            return Precision.FLOAT32;
        }
    }

    private Runner onEngine(Form form, List<String> outputs) {
        listener.progress().accept("loading " + form.name());
        Engine.Loaded loaded = settings.engine().orElseThrow().load(form.model());
        forms.closeLater(loaded.close());
        String name = form.model().isUnmerged() ? form.name() + ", unmerged" : form.name();
        return new Runner(name + " (" + loaded.name() + ")", outputs, loaded.run()).storedIn(form.stored());
    }

    /** The embedding that an exported model gives, computed from the token states of the others. */
    private Optional<SentenceEmbedding> embedding(Set<String> exported, Inputs inputs) throws IOException {
        if (!exported.contains(SentenceEmbedding.OUTPUT)
                || forms.models().isEmpty()
                || !forms.models().getFirst().output().name().equals(SentenceEmbedding.STATES)) {
            return Optional.empty();
        }
        Form first = forms.models().getFirst();
        Optional<SentenceEmbedding> known = SentenceEmbedding.of(first.path());
        SentenceEmbedding chosen = known.isPresent() ? known.get() : nearest(first, inputs);
        listener.progress().accept(SentenceEmbedding.OUTPUT + " is compared with the " + chosen);
        return Optional.of(chosen);
    }

    private SentenceEmbedding nearest(Form first, Inputs inputs) {
        Map<String, Tensor> batch = inputs.batches().stream()
                .filter(own -> own.values().iterator().next().shape().dim(0) > 1)
                .findFirst()
                .orElse(inputs.batches().getFirst());
        OnnxRunner onnx = forms.exported().stream()
                .map(Exported::onnx)
                .filter(own -> own.outputNames().contains(SentenceEmbedding.OUTPUT))
                .findFirst()
                .orElseThrow();
        DoubleTensor found = Objects.requireNonNull(
                onnx.outputs(batch, Set.of(SentenceEmbedding.OUTPUT)).get(SentenceEmbedding.OUTPUT));
        DoubleTensor states = new ReferenceRunner(first.model()).run(batch);
        SentenceEmbedding best = SentenceEmbedding.all().getFirst();
        double least = Double.POSITIVE_INFINITY;
        for (SentenceEmbedding candidate : SentenceEmbedding.all()) {
            double distance = distance(candidate.of(states, batch), found);
            if (distance < least) {
                least = distance;
                best = candidate;
            }
        }
        return best;
    }

    private static double distance(DoubleTensor a, DoubleTensor b) {
        if (!a.shape().equals(b.shape())) {
            return Double.POSITIVE_INFINITY;
        }
        double sum = 0;
        for (int i = 0; i < a.values().length; i++) {
            sum += Math.abs(a.values()[i] - b.values()[i]);
        }
        return sum;
    }

    private static Runner with(Optional<SentenceEmbedding> embedding, Runner inner) {
        if (embedding.isEmpty()) {
            return inner;
        }
        List<String> outputs = new ArrayList<>(inner.outputs());
        outputs.add(SentenceEmbedding.OUTPUT);
        return new Runner(
                inner.name(), inner.precision(), inner.stored(), outputs, inner.incomparable(), (inputs, wanted) -> {
                    Set<String> asked = new HashSet<>(wanted);
                    asked.add(SentenceEmbedding.STATES);
                    asked.remove(SentenceEmbedding.OUTPUT);
                    Map<String, DoubleTensor> given =
                            new LinkedHashMap<>(inner.run().outputs(inputs, asked));
                    DoubleTensor states = Objects.requireNonNull(given.get(SentenceEmbedding.STATES));
                    given.put(SentenceEmbedding.OUTPUT, embedding.get().of(states, inputs));
                    return given;
                });
    }

    private Inputs inputs() throws IOException {
        if (settings.tensors().isPresent()) {
            return fromFile(settings.tensors().get());
        }
        boolean tokenTypes = forms.exported().stream()
                .allMatch(own -> own.onnx().inputNames().contains("token_type_ids"));
        Inputs.Size size = new Inputs.Size(settings.count(), settings.seed(), tokenTypes, settings.thorough());
        if (forms.models().isEmpty()) {
            return Inputs.random(guessed(forms.exported().getFirst().onnx()), size);
        }
        Form first = forms.models().getFirst();
        Optional<Tokens> tokens = first.model().architecture().tokens();
        if (settings.texts().isEmpty()) {
            return Inputs.random(first.model().config(), size);
        }
        int longest = Math.min(
                MAX_LENGTH,
                tokens.orElseThrow(() -> new UsageException("data", first.path() + " is no model of texts"))
                        .longest());
        Engine.Texts texts = settings.texts().get();
        List<Map<String, Tensor>> batches =
                texts.batches(first.path(), first.model().config(), settings.count(), longest);
        return Inputs.given(texts.description(settings.count(), longest), batches, tokens.get());
    }

    /** What a model takes that comes without a checkpoint: as the config.json beside it says, or as its graph tells. */
    private static Tokens guessed(OnnxRunner onnx) throws IOException {
        Path config = onnx.path().resolveSibling(ModelConfig.FILE);
        if (Files.isRegularFile(config)) {
            Optional<Tokens> tokens = Architecture.of(ModelConfig.read(config)).tokens();
            if (tokens.isPresent()) {
                return tokens.get();
            }
        }
        try (OnnxContents contents = OnnxContents.open(onnx.path())) {
            int vocabulary = contents.rowsLookedUpBy("input_ids")
                    .orElseThrow(() -> new UsageException(
                            "input-tensors",
                            "the inputs of " + onnx.path()
                                    + " cannot be guessed; give a safetensors file that holds them by name, or a checkpoint of"
                                    + " the model"));
            int types = onnx.inputNames().contains("token_type_ids")
                    ? contents.rowsLookedUpBy("token_type_ids").orElse(1)
                    : 1;
            return new Tokens(vocabulary, UNKNOWN_LENGTH, types);
        }
    }

    private static Inputs fromFile(Path path) throws IOException {
        Map<String, Tensor> batch = new LinkedHashMap<>();
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            for (TensorView tensor : file.tensors()) {
                batch.put(
                        tensor.name(),
                        switch (tensor.dtype()) {
                            case I64 -> new LongTensor(tensor.shape(), tensor.toLongs());
                            case F32, F16, BF16, F64 -> new FloatTensor(tensor.shape(), tensor.toFloats());
                            default ->
                                throw new FormatException(
                                        path,
                                        tensor.name(),
                                        "holds " + tensor.dtype() + ", expected I64 for token ids and masks, or"
                                                + " floating-point numbers");
                        });
            }
        }
        if (batch.isEmpty()) {
            throw new FormatException(path, "holds no tensor, expected the models' inputs by name");
        }
        return new Inputs("the inputs of " + path, List.of(batch), OptionalLong.empty(), Optional.empty());
    }
}
