package dev.adapt.verify.form;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.gguf.GgmlType;
import dev.adapt.formats.gguf.GgufFile;
import dev.adapt.formats.gguf.model.GgufImport;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.lors.StackedModel;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.onnx.OnnxContents;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.verify.runner.Device;
import dev.adapt.verify.runner.OnnxRunner;
import dev.adapt.verify.runner.Precision;
import dev.adapt.verify.runner.Runner;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** The forms of a verification, open, and all that must be closed after it. */
final class OpenForms implements AutoCloseable {
    /**
     * An ONNX model, which was loaded once and found right. {@link #session} loads it again.
     *
     * @param inputs the names of what it takes
     * @param outputs the names of what it gives, as transformers calls them
     * @param precision that it computes in
     * @param stored what its weights were rounded to
     * @param adapter active in it
     */
    record Exported(
            String name,
            Path path,
            Set<String> inputs,
            List<String> outputs,
            Precision precision,
            Precision stored,
            Optional<Path> adapter) {
        Exported {
            inputs = Set.copyOf(inputs);
            outputs = List.copyOf(outputs);
        }

        /** It as a form to compare, as long as its session is open. */
        Runner in(OnnxRunner session) throws IOException {
            return runner(session, adapter).storedIn(stored);
        }

        private static Runner runner(OnnxRunner session, Optional<Path> adapter) throws IOException {
            return adapter.isPresent() ? session.adapted(adapter.get()) : session.runner();
        }
    }

    private final Deque<Runnable> closers = new ArrayDeque<>();
    private final Device device;
    private final Engine.Listener listener;
    private final List<Form> models = new ArrayList<>();
    private final List<Exported> exported = new ArrayList<>();

    /** @param device where ONNX Runtime runs */
    OpenForms(Device device, Engine.Listener listener) {
        this.device = device;
        this.listener = listener;
    }

    Engine.Listener listener() {
        return listener;
    }

    List<Form> models() {
        return models;
    }

    List<Exported> exported() {
        return exported;
    }

    /** Closes something at the end, last opened first. */
    private void closeLater(Runnable closer) {
        closers.push(closer);
    }

    /**
     * Opens the checkpoints, and loads each ONNX model once after them: what is wrong with files is said before an engine
     * starts.
     */
    void open(Forms forms) throws IOException {
        if (forms.adapter().isPresent() && requireOneModel(forms)) {
            Path path = forms.adapter().get();
            StackedModel.Opened opened = StackedModel.open(path);
            closeLater(opened::close);
            models.add(new Form(
                    "sharing weights",
                    path,
                    opened.whole().model(),
                    Optional.empty(),
                    Optional.empty(),
                    Precision.FLOAT32));
        }
        if (forms.base().isPresent()) {
            openBase(forms.base().get(), forms);
        }
        for (Path path : forms.merged()) {
            add(name("merged", path, forms.merged()), path, checkpoint(path), forms);
        }
        for (Path path : forms.gguf()) {
            listener.progress().accept("reading " + path);
            Checkpoint back = checkpoint(readBack(path));
            models.add(new Form(
                    name("GGUF", path, forms.gguf()),
                    path,
                    Model.of(back),
                    Optional.of(back),
                    Optional.empty(),
                    stored(path)));
        }
        for (Path path : forms.onnx()) {
            exported.add(exported(
                    name("ONNX", path, forms.onnx()),
                    path,
                    exported.isEmpty() ? forms.onnxAdapter() : Optional.empty()));
        }
        models.forEach(form -> models.getFirst().requireLike(form));
    }

    private Exported exported(String name, Path path, Optional<Path> adapter) throws IOException {
        try (OnnxRunner session = OnnxRunner.look(path, mainOutput(), device)) {
            Runner runner = Exported.runner(session, adapter);
            return new Exported(
                    name,
                    path,
                    session.inputNames(),
                    runner.outputs(),
                    runner.precision(),
                    storedBesideAdapter(path, adapter),
                    adapter);
        }
    }

    private Optional<OnnxRunner.MainOutput> mainOutput() {
        return models.stream().findFirst().map(Form::output);
    }

    /** Loads an ONNX model to run it. The caller closes it. */
    OnnxRunner session(Exported own) throws IOException {
        Optional<OnnxRunner.MainOutput> main = mainOutput();
        return main.isPresent() ? OnnxRunner.open(own.path(), main.get(), device) : OnnxRunner.open(own.path(), device);
    }

    /** Beside a base with its adapter unmerged, the merged weights of an ONNX model may have been rounded. */
    private Precision storedBesideAdapter(Path path, Optional<Path> adapter) throws IOException {
        boolean besideAdapter = models.stream().anyMatch(form -> form.adapter().isPresent());
        if (!besideAdapter || adapter.isPresent()) {
            return Precision.FLOAT32;
        }
        try (OnnxContents contents = OnnxContents.open(path)) {
            return contents.weights().stream()
                    .filter(weight -> weight.shape().rank() == 2)
                    .map(weight -> Precision.of(weight.dtype()))
                    .reduce(Precision.FLOAT32, Precision::or);
        } catch (FormatException e) {
            // a model whose weights cannot be told apart runs all the same
            return Precision.FLOAT32;
        }
    }

    private static String name(String kind, Path path, List<Path> all) {
        if (all.size() == 1) {
            return kind;
        }
        Path last = path.toAbsolutePath().normalize();
        boolean same = all.stream()
                        .filter(other -> String.valueOf(other.getFileName()).equals(String.valueOf(path.getFileName())))
                        .count()
                > 1;
        int count = last.getNameCount();
        return kind + " " + (same && count > 1 ? last.subpath(count - 2, count) : last.getFileName());
    }

    private void openBase(Path path, Forms forms) throws IOException {
        Checkpoint base = checkpoint(path);
        if (forms.adapter().isEmpty()) {
            add("base", path, base, forms);
            return;
        }
        Adapter adapter = Adapter.read(forms.adapter().get());
        adapter.notes().forEach(listener.note());
        BoundAdapter bound = new Binding(base).bind(adapter, false);
        models.add(new Form(
                "base + adapter",
                path,
                Model.of(base, bound),
                Optional.of(base),
                Optional.of(bound),
                Precision.FLOAT32));
    }

    private void add(String name, Path path, Checkpoint checkpoint, Forms forms) throws IOException {
        // beside a base with its adapter unmerged, a merged checkpoint was rounded to its type
        Precision stored = forms.adapter().isPresent() ? stored(checkpoint) : Precision.FLOAT32;
        models.add(new Form(name, path, Model.of(checkpoint), Optional.of(checkpoint), Optional.empty(), stored));
    }

    private static Precision stored(Checkpoint checkpoint) {
        return checkpoint.tensors().values().stream()
                .filter(tensor -> tensor.shape().rank() == 2
                        && tensor.dtype().floatFormat().isPresent())
                .map(TensorView::dtype)
                .map(Precision::of)
                .reduce(Precision.FLOAT32, Precision::or);
    }

    private static Precision stored(Path gguf) throws IOException {
        try (GgufFile file = GgufFile.open(gguf)) {
            return file.header().tensors().stream()
                    .map(tensor -> switch (tensor.type()) {
                        case GgmlType.F32 -> Precision.FLOAT32;
                        case GgmlType.F16 -> Precision.FLOAT16;
                        case GgmlType.BF16 -> Precision.BFLOAT16;
                        default -> Precision.INT8;
                    })
                    .reduce(Precision.FLOAT32, Precision::or);
        }
    }

    /** Whether the adapter is a whole model; one that is not needs its base. */
    private static boolean requireOneModel(Forms forms) throws IOException {
        Path adapter = forms.adapter().orElseThrow();
        boolean whole = StackedModel.isIn(adapter);
        if (whole == forms.base().isPresent()) {
            throw new UsageException(
                    "adapter",
                    whole
                            ? adapter + " is a whole model, whose layers share weights (LORS); leave out its base"
                            : adapter + " needs its base, the checkpoint it was trained on");
        }
        return whole;
    }

    private Checkpoint checkpoint(Path path) throws IOException {
        Checkpoint checkpoint = Checkpoint.open(path);
        closeLater(checkpoint::close);
        checkpoint.notes().forEach(listener.note());
        return checkpoint;
    }

    /** A folder with what a GGUF file holds, removed when the verification ends. */
    private Path readBack(Path gguf) throws IOException {
        Path folder = Files.createTempDirectory("adapt-gguf");
        closeLater(() -> {
            for (String name : List.of(ModelConfig.FILE, Checkpoint.SINGLE, "")) {
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

    @Override
    public void close() {
        while (!closers.isEmpty()) {
            closers.pop().run();
        }
    }
}
