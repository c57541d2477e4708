package dev.adapt.cli;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.gguf.GgufImport;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Tokens;
import dev.adapt.formats.lors.StackedModel;
import dev.adapt.formats.model.Binding;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.train.Dataset;
import dev.adapt.train.Devices;
import dev.adapt.train.DjlRunner;
import dev.adapt.train.TextInputs;
import dev.adapt.verify.Device;
import dev.adapt.verify.Inputs;
import dev.adapt.verify.OnnxRunner;
import dev.adapt.verify.ReferenceRunner;
import dev.adapt.verify.Report;
import dev.adapt.verify.Runner;
import dev.adapt.verify.Tolerance;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Stream;

/** Brings the forms of a model together that are to be compared, each on its engine. */
final class Verification implements AutoCloseable {
    private static final int BATCH = 4;
    private static final int MAX_LENGTH = 128;

    /**
     * The forms to compare.
     *
     * @param adapter beside the base, unmerged; a model whose layers share weights (LORS) is its own base
     * @param gguf a GGUF file, read back as a checkpoint
     * @param onnxAdapter active in the exported model
     */
    record Forms(
            Optional<Path> base,
            Optional<Path> adapter,
            Optional<Path> merged,
            Optional<Path> gguf,
            Optional<Path> onnx,
            Optional<Path> onnxAdapter) {
        Forms {
            if (onnxAdapter.isPresent() && onnx.isEmpty()) {
                throw new UsageException("--onnx-adapter needs --onnx, a model exported with --adapter-inputs");
            }
            long forms = Stream.of(base.or(() -> adapter), merged, gguf, onnx)
                    .filter(Optional::isPresent)
                    .count();
            if (forms < 2) {
                throw new UsageException("verify compares at least two forms of a model, found " + forms
                        + ": give two or more of --base (with or without --adapter), --merged and --onnx");
            }
        }
    }

    /** Texts to compare on, instead of random tokens. */
    record Texts(Path file, Dataset.Columns columns) {}

    /**
     * How to compare.
     *
     * @param count sequences that go in
     * @param seed of random tokens
     * @param reference whether to compare with float64 too
     */
    record Settings(
            int count, long seed, Optional<Texts> texts, Tolerance tolerance, Devices device, boolean reference) {
        /** Random tokens, enough to be meaningful and done in seconds. */
        static final Settings DEFAULT = new Settings(16, 0, Optional.empty(), Tolerance.DEFAULT, Devices.AUTO, true);
    }

    /** A checkpoint, with its adapter if it has one, under the name that the report gives it. */
    private record Form(String name, Path path, Model model) {
        String output() {
            return model.architecture().outputName();
        }

        /** The model's main output, and of the others those that an exported model gives too. */
        List<String> outputs(Set<String> exported) {
            return model.outputNames().stream()
                    .filter(name -> name.equals(output()) || exported.contains(name))
                    .toList();
        }
    }

    private final Deque<Runnable> closers = new ArrayDeque<>();
    private final List<Runner> runners = new ArrayList<>();
    private final Consumer<String> progress;

    private Verification(Consumer<String> progress) {
        this.progress = progress;
    }

    /**
     * Runs all forms, and the float64 reference of the first, on the same inputs.
     *
     * @param progress takes a line for each step
     */
    static Report of(Forms forms, Settings settings, Consumer<String> progress) throws IOException {
        try (Verification verification = new Verification(progress)) {
            return verification.run(forms, settings);
        }
    }

    private Report run(Forms forms, Settings settings) throws IOException {
        // files first: what is wrong with them is said before an engine starts
        List<Form> models = models(forms);
        Form first = models.getFirst();
        models.forEach(form -> requireLike(first, form));
        Optional<OnnxRunner> onnx = forms.onnx().isEmpty()
                ? Optional.empty()
                : Optional.of(openOnnx(forms.onnx().get(), first.output(), settings.device()));
        boolean tokenTypes = onnx.isEmpty() || onnx.get().inputNames().contains("token_type_ids");
        Inputs inputs = inputs(first, settings, tokenTypes);
        Set<String> outputs = onnx.map(OnnxRunner::outputNames).orElse(Set.of());
        for (Form form : models) {
            runners.add(onDjl(form, form.outputs(outputs), settings.device()));
        }
        if (onnx.isPresent()) {
            runners.add(
                    forms.onnxAdapter().isPresent()
                            ? onnx.get().adapted(forms.onnxAdapter().get())
                            : onnx.get().runner());
        }
        if (settings.reference()) {
            runners.add(new Runner(
                    "reference: " + first.name() + " (float64)",
                    first.outputs(outputs),
                    new ReferenceRunner(first.model())::outputs));
        }
        progress.accept("running " + runners.size() + " forms on " + inputs.description());
        return Report.of(runners, inputs, settings.tolerance());
    }

    private List<Form> models(Forms forms) throws IOException {
        List<Form> models = new ArrayList<>();
        if (forms.adapter().isPresent() && requireOneModel(forms)) {
            Path path = forms.adapter().get();
            StackedModel.Opened opened = StackedModel.open(path);
            closers.push(opened::close);
            models.add(new Form("sharing weights", path, opened.whole().model()));
        }
        if (forms.base().isPresent()) {
            Path path = forms.base().get();
            Checkpoint base = open(path);
            if (forms.adapter().isPresent()) {
                Adapter adapter = Adapters.read(forms.adapter().get());
                models.add(new Form("base + adapter", path, Model.of(base, new Binding(base).bind(adapter, false))));
            } else {
                models.add(new Form("base", path, Model.of(base)));
            }
        }
        if (forms.merged().isPresent()) {
            Path path = forms.merged().get();
            models.add(new Form("merged", path, Model.of(open(path))));
        }
        if (forms.gguf().isPresent()) {
            Path path = forms.gguf().get();
            progress.accept("reading " + path);
            models.add(new Form("GGUF", path, Model.of(open(readBack(path)))));
        }
        return models;
    }

    /** Whether the adapter is a whole model; one that is not needs its base. */
    private static boolean requireOneModel(Forms forms) throws IOException {
        Path adapter = forms.adapter().orElseThrow();
        boolean whole = StackedModel.isIn(adapter);
        if (whole == forms.base().isPresent()) {
            throw new UsageException(
                    whole
                            ? "--adapter " + adapter
                                    + " is a whole model, whose layers share weights (LORS); leave out --base"
                            : "--adapter needs --base, the checkpoint it was trained on");
        }
        return whole;
    }

    /** A folder with what a GGUF file holds, removed when the verification ends. */
    private Path readBack(Path gguf) throws IOException {
        Path folder = Files.createTempDirectory("adapt-gguf");
        closers.push(() -> {
            for (String name : List.of(Checkpoint.CONFIG, Checkpoint.SINGLE, "")) {
                try {
                    Files.deleteIfExists(folder.resolve(name));
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            }
        });
        GgufImport.into(gguf, folder);
        return folder;
    }

    private Checkpoint open(Path path) throws IOException {
        Checkpoint checkpoint = Checkpoints.open(path);
        closers.push(checkpoint::close);
        return checkpoint;
    }

    /** Refuses checkpoints that cannot be the same model: their logits could not be compared at all. */
    private static void requireLike(Form first, Form other) {
        if (!other.output().equals(first.output())) {
            throw new FormatException(
                    other.path(),
                    "gives " + other.output() + " where " + first.name() + " (" + first.path() + ") gives "
                            + first.output()
                            + ": one of the two lacks the classification head; give the checkpoint, or the adapter, that has it");
        }
        if (!takes(other).equals(takes(first))) {
            throw new FormatException(
                    other.path(),
                    "takes " + takes(other) + " where " + first.name() + " (" + first.path() + ") takes "
                            + takes(first));
        }
    }

    private static String takes(Form form) {
        Architecture architecture = form.model().architecture();
        return architecture
                .tokens()
                .map(tokens -> "up to " + tokens.longest() + " tokens of a vocabulary of " + tokens.vocabulary())
                .orElseGet(() -> architecture.inputs().getFirst().name() + " "
                        + architecture.inputs().getFirst().axes());
    }

    private Inputs inputs(Form first, Settings settings, boolean tokenTypes) throws IOException {
        ModelConfig config = first.model().config();
        Optional<Tokens> tokens = first.model().architecture().tokens();
        if (settings.texts().isPresent() && tokens.isEmpty()) {
            throw new UsageException(
                    "--data " + settings.texts().get().file() + ": " + first.path() + " is no model of texts");
        }
        if (settings.texts().isEmpty()) {
            return Inputs.random(config, settings.count(), settings.seed(), tokenTypes);
        }
        Texts texts = settings.texts().get();
        Dataset data = Dataset.readTexts(texts.file(), texts.columns());
        int maxLength = Math.min(MAX_LENGTH, tokens.orElseThrow().longest());
        List<Map<String, Tensor>> batches =
                TextInputs.of(data, first.path(), first.model().config(), settings.count(), BATCH, maxLength);
        int count = Math.min(settings.count(), data.examples().size());
        String description = "the first " + count + " texts of " + texts.file() + ", cut to " + maxLength + " tokens";
        return Inputs.given(description, batches, tokens.orElseThrow());
    }

    private OnnxRunner openOnnx(Path path, String output, Devices device) throws IOException {
        OnnxRunner runner = OnnxRunner.open(path, output, Device.valueOf(device.name()));
        closers.push(runner::close);
        return runner;
    }

    private Runner onDjl(Form form, List<String> outputs, Devices device) {
        progress.accept("loading " + form.name() + " on DJL");
        DjlRunner runner = DjlRunner.open(form.model(), device);
        closers.push(runner::close);
        String provider = runner.device().startsWith("cpu") ? "CPU" : "CUDA";
        String name = form.model().isUnmerged() ? form.name() + ", unmerged" : form.name();
        return new Runner(name + " (DJL, " + provider + ")", outputs, (inputs, wanted) -> {
            Map<String, DoubleTensor> wide = new LinkedHashMap<>();
            runner.outputs(inputs, wanted).forEach((output, values) -> wide.put(output, DoubleTensor.of(values)));
            return wide;
        });
    }

    @Override
    public void close() {
        while (!closers.isEmpty()) {
            closers.pop().run();
        }
    }
}
