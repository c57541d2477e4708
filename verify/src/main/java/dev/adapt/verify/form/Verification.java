package dev.adapt.verify.form;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Tokens;
import dev.adapt.formats.onnx.OnnxContents;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.verify.compare.Report;
import dev.adapt.verify.form.OpenForms.Exported;
import dev.adapt.verify.input.Inputs;
import dev.adapt.verify.runner.OnnxRunner;
import dev.adapt.verify.runner.RecordedOutputs;
import dev.adapt.verify.runner.ReferenceRunner;
import dev.adapt.verify.runner.Runner;
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
        try (OpenForms open = new OpenForms(settings.device(), listener)) {
            open.open(forms);
            return new Verification(open, settings, listener).run();
        }
    }

    private Report run() throws IOException {
        Inputs inputs = inputs();
        List<Turn> turns = turns(inputs);
        listener.progress().accept("running " + turns.size() + " forms on " + inputs.description());
        Report report;
        try (RecordedOutputs recorded = new RecordedOutputs()) {
            List<Runner> runners = Turn.all(turns, inputs.batches(), recorded);
            report = Report.of(runners, inputs, products(), settings.tolerance());
        }
        return report.with(new Diagnosis(forms, settings, inputs).of(report));
    }

    /** The forms in the order of the report: checkpoints on the engine, exported models, the reference. */
    private List<Turn> turns(Inputs inputs) throws IOException {
        Set<String> exported = new LinkedHashSet<>();
        forms.exported().forEach(own -> exported.addAll(own.outputs()));
        Optional<SentenceEmbedding> embedding = embedding(exported, inputs);
        List<Turn> turns = new ArrayList<>();
        for (Form form : forms.models()) {
            if (settings.engine().isPresent()) {
                Engine engine = settings.engine().get();
                List<String> outputs = form.outputs(exported);
                turns.add(with(embedding, new Turn(outputs, () -> onEngine(engine, form, outputs))));
            }
        }
        for (Exported own : forms.exported()) {
            turns.add(new Turn(own.outputs(), () -> inOnnxRuntime(own)));
        }
        boolean inJava = settings.reference() || settings.engine().isEmpty();
        for (Form form : forms.models()) {
            boolean first = form.equals(forms.models().getFirst());
            if (inJava && (first || settings.engine().isEmpty())) {
                List<String> outputs = form.outputs(exported);
                turns.add(with(embedding, new Turn(outputs, () -> inFloat64(form, outputs))));
            }
        }
        return turns;
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

    private Turn.Loaded onEngine(Engine engine, Form form, List<String> outputs) {
        listener.progress().accept("loading " + form.name());
        Engine.Loaded loaded = engine.load(form.model());
        String name = form.model().isUnmerged() ? form.name() + ", unmerged" : form.name();
        Runner runner = new Runner(name + " (" + loaded.name() + ")", outputs, loaded.run());
        return new Turn.Loaded(runner.storedIn(form.stored()), loaded.close());
    }

    @SuppressWarnings("MustBeClosedChecker") // the turn closes it
    private Turn.Loaded inOnnxRuntime(Exported own) throws IOException {
        OnnxRunner session = forms.session(own);
        try {
            return new Turn.Loaded(own.in(session), session::close);
        } catch (IOException | RuntimeException e) {
            session.close();
            throw e;
        }
    }

    private Turn.Loaded inFloat64(Form form, List<String> outputs) {
        String name = settings.engine().isPresent() ? "reference: " + form.name() : form.name();
        Runner runner = new Runner(name + " (float64)", outputs, new ReferenceRunner(form.model())::outputs);
        return new Turn.Loaded(runner.storedIn(form.stored()), () -> {});
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

    private SentenceEmbedding nearest(Form first, Inputs inputs) throws IOException {
        Map<String, Tensor> batch = inputs.batches().stream()
                .filter(own -> own.values().iterator().next().shape().dim(0) > 1)
                .findFirst()
                .orElse(inputs.batches().getFirst());
        Exported exported = forms.exported().stream()
                .filter(own -> own.outputs().contains(SentenceEmbedding.OUTPUT))
                .findFirst()
                .orElseThrow();
        DoubleTensor found;
        try (OnnxRunner session = forms.session(exported)) {
            found = Objects.requireNonNull(
                    session.outputs(batch, Set.of(SentenceEmbedding.OUTPUT)).get(SentenceEmbedding.OUTPUT));
        }
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

    private static Turn with(Optional<SentenceEmbedding> embedding, Turn inner) {
        if (embedding.isEmpty()) {
            return inner;
        }
        List<String> outputs = new ArrayList<>(inner.outputs());
        outputs.add(SentenceEmbedding.OUTPUT);
        return inner.with(outputs, runner -> with(embedding.get(), runner, outputs));
    }

    private static Runner with(SentenceEmbedding embedding, Runner inner, List<String> outputs) {
        return new Runner(
                inner.name(), inner.precision(), inner.stored(), outputs, inner.incomparable(), (inputs, wanted) -> {
                    Set<String> asked = new HashSet<>(wanted);
                    asked.add(SentenceEmbedding.STATES);
                    asked.remove(SentenceEmbedding.OUTPUT);
                    Map<String, DoubleTensor> given =
                            new LinkedHashMap<>(inner.run().outputs(inputs, asked));
                    DoubleTensor states = Objects.requireNonNull(given.get(SentenceEmbedding.STATES));
                    given.put(SentenceEmbedding.OUTPUT, embedding.of(states, inputs));
                    return given;
                });
    }

    private Inputs inputs() throws IOException {
        if (settings.tensors().isPresent()) {
            return fromFile(settings.tensors().get());
        }
        boolean tokenTypes =
                forms.exported().stream().allMatch(own -> own.inputs().contains("token_type_ids"));
        Inputs.Size size = new Inputs.Size(settings.count(), settings.seed(), tokenTypes, settings.thorough());
        if (forms.models().isEmpty()) {
            return Inputs.random(guessed(forms.exported().getFirst()), size);
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
    private static Tokens guessed(Exported onnx) throws IOException {
        Path config = onnx.path().resolveSibling(ModelConfig.FILE);
        if (Files.isRegularFile(config)) {
            Optional<Tokens> tokens = Architectures.of(ModelConfig.read(config)).tokens();
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
            int types = onnx.inputs().contains("token_type_ids")
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
