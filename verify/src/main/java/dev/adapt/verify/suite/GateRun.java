package dev.adapt.verify.suite;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.verify.form.Engine;
import dev.adapt.verify.form.Forms;
import dev.adapt.verify.input.Inputs;
import dev.adapt.verify.runner.OnnxRunner;
import dev.adapt.verify.runner.ReferenceRunner;
import dev.adapt.verify.runner.Runner;
import dev.adapt.verify.suite.SuiteResult.GateResult;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;

/** Measures what gates ask for. */
public final class GateRun implements AutoCloseable {
    private static final int WARM_UP = 3;
    private static final int RUNS = 15;

    private final Suite.Model model;
    private final Labels labels;
    private final Deque<Runnable> closers = new ArrayDeque<>();

    /** Reads labelled texts. */
    @FunctionalInterface
    public interface Labels {
        /** The texts of a file as inputs of a model, with the index of each one's label. */
        List<Labelled> read(Path file, Path base, Model model) throws IOException;
    }

    /**
     * A batch.
     *
     * @param classes the label of each row, an index
     */
    @SuppressWarnings("ArrayRecordComponent")
    public record Labelled(Map<String, Tensor> inputs, int[] classes) {}

    GateRun(Suite.Model model, Labels labels) {
        this.model = model;
        this.labels = labels;
    }

    GateResult of(Gate gate) throws IOException {
        return switch (gate) {
            case Gate.Accuracy accuracy -> accuracy(accuracy);
            case Gate.Latency latency -> latency(latency);
            case Gate.Size size -> size(size);
        };
    }

    /** A form as it runs, and the model that tells what it takes. */
    private record Loaded(Model model, Runner.Run run, String output) {}

    private Loaded load(Gate.Of of) throws IOException {
        Model opened = open(of);
        String output = opened.architecture().outputName();
        if (of == Gate.Of.ONNX) {
            Path path = first(model.forms().onnx(), of);
            OnnxRunner runner = OnnxRunner.open(
                    path,
                    new OnnxRunner.MainOutput(output, opened.architecture().outputAxes()),
                    model.settings().device());
            closers.push(runner::close);
            return new Loaded(opened, runner::outputs, output);
        }
        if (model.settings().engine().isEmpty()) {
            return new Loaded(opened, new ReferenceRunner(opened)::outputs, output);
        }
        Engine.Loaded loaded = model.settings().engine().get().load(opened);
        closers.push(loaded.close());
        return new Loaded(opened, loaded.run(), output);
    }

    /** The checkpoint of a form; of an ONNX model, that which it is compared with. */
    private Model open(Gate.Of of) throws IOException {
        Forms forms = model.forms();
        return switch (of) {
            case BASE -> Model.of(base(of));
            case UNMERGED -> unmerged(first(forms.adapter().stream().toList(), of), of);
            case MERGED -> Model.of(checkpoint(first(forms.merged(), of)));
            case ONNX -> {
                if (!forms.merged().isEmpty()) {
                    yield Model.of(checkpoint(forms.merged().getFirst()));
                }
                yield forms.adapter().isPresent() ? unmerged(forms.adapter().get(), of) : Model.of(base(of));
            }
            case GGUF ->
                throw new FormatException(
                        Path.of(model.name()),
                        "gates",
                        "measure " + of + ", of which only the size is measured: llama.cpp runs such a file");
        };
    }

    private Model unmerged(Path adapter, Gate.Of of) throws IOException {
        Checkpoint base = base(of);
        return Model.of(base, new Binding(base).bind(Adapter.read(adapter), false));
    }

    private Checkpoint base(Gate.Of of) throws IOException {
        return checkpoint(first(model.forms().base().stream().toList(), of));
    }

    private Checkpoint checkpoint(Path path) throws IOException {
        Checkpoint checkpoint = Checkpoint.open(path);
        closers.push(checkpoint::close);
        return checkpoint;
    }

    private Path first(List<Path> paths, Gate.Of of) {
        if (paths.isEmpty()) {
            throw new FormatException(
                    Path.of(model.name()), "gates", "measure " + of + ", which the model does not list");
        }
        return paths.getFirst();
    }

    private GateResult accuracy(Gate.Accuracy gate) throws IOException {
        Loaded form = load(gate.of());
        Path tokenizer =
                model.forms().base().orElseGet(() -> model.forms().merged().getFirst());
        long right = 0;
        long all = 0;
        for (Labelled batch : labels.read(gate.file(), tokenizer, form.model())) {
            DoubleTensor logits = Objects.requireNonNull(
                    form.run().outputs(batch.inputs(), Set.of(form.output())).get(form.output()));
            int width = logits.values().length / batch.classes().length;
            for (int row = 0; row < batch.classes().length; row++) {
                int best = 0;
                for (int i = 1; i < width; i++) {
                    best = logits.values()[row * width + i] > logits.values()[row * width + best] ? i : best;
                }
                right += best == batch.classes()[row] ? 1 : 0;
                all++;
            }
        }
        double found = (double) right / Math.max(1, all);
        return new GateResult(
                "accuracy of " + gate.of(),
                all > 0 && found >= gate.least(),
                String.format(
                        Locale.ROOT,
                        "%.4f on %d texts of %s, at least %s",
                        found,
                        all,
                        gate.file().getFileName(),
                        gate.least()));
    }

    private GateResult latency(Gate.Latency gate) throws IOException {
        Loaded of = load(gate.of());
        Loaded over = load(gate.over());
        Map<String, Tensor> batch = Inputs.random(
                        of.model().config(), 16, model.settings().seed(), false)
                .batches()
                .get(1);
        double[] first = new double[RUNS];
        double[] second = new double[RUNS];
        for (int i = -WARM_UP; i < RUNS; i++) {
            double a = time(of, batch);
            double b = time(over, batch);
            if (i >= 0) {
                first[i] = a;
                second[i] = b;
            }
        }
        double one = median(first);
        double other = median(second);
        return new GateResult(
                "latency of " + gate.of() + " over " + gate.over(),
                one <= gate.most() * other,
                String.format(
                        Locale.ROOT,
                        "%.3f (%.2f ms over %.2f ms), at most %s",
                        one / other,
                        one * 1e3,
                        other * 1e3,
                        gate.most()));
    }

    private static double time(Loaded form, Map<String, Tensor> batch) {
        long start = System.nanoTime();
        form.run().outputs(batch, Set.of(form.output()));
        return (System.nanoTime() - start) / 1e9;
    }

    private static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }

    private GateResult size(Gate.Size gate) throws IOException {
        Forms forms = model.forms();
        Optional<Path> path = switch (gate.of()) {
            case BASE -> forms.base();
            case UNMERGED -> forms.adapter();
            case MERGED -> forms.merged().stream().findFirst();
            case ONNX -> forms.onnx().stream().findFirst();
            case GGUF -> forms.gguf().stream().findFirst();
        };
        Path own = first(path.stream().toList(), gate.of());
        long bytes = 0;
        for (Path file : Environment.within(own)) {
            bytes += Files.size(file);
        }
        Path data = own.resolveSibling(own.getFileName() + "_data");
        bytes += gate.of() == Gate.Of.ONNX && Files.isRegularFile(data) ? Files.size(data) : 0;
        return new GateResult(
                "size of " + gate.of(),
                bytes <= gate.most(),
                String.format(Locale.ROOT, "%,d bytes, at most %,d", bytes, gate.most()));
    }

    @Override
    public void close() {
        while (!closers.isEmpty()) {
            closers.pop().run();
        }
    }
}
