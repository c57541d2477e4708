package dev.adapt.cli.predict;

import dev.adapt.cli.options.Adapters;
import dev.adapt.cli.options.Checkpoints;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.saved.ChangedConfig;
import dev.adapt.formats.sentence.SentenceModules;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.train.device.Devices;
import dev.adapt.train.djl.DjlRunner;
import dev.adapt.train.predict.Predictor;
import dev.adapt.verify.runner.Device;
import dev.adapt.verify.runner.OnnxRunner;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import picocli.CommandLine.Option;

/** The model that predicts: a checkpoint, with or without an adapter beside it, or an exported model. */
final class PredictorOptions {
    /** Tokens that a text is cut off after where nothing says another number. */
    private static final int LONGEST = 512;

    @Option(names = "--base", paramLabel = "DIR", description = "the checkpoint: a base, or what merge wrote")
    private Optional<Path> base = Optional.empty();

    @Option(names = "--adapter", paramLabel = "DIR", description = "the adapter that runs beside the base")
    private Optional<Path> adapter = Optional.empty();

    @Option(names = "--onnx", paramLabel = "FILE", description = "the exported model, instead of --base")
    private Optional<Path> onnx = Optional.empty();

    @Option(
            names = "--tokenizer",
            paramLabel = "DIR",
            description = "folder with tokenizer.json and config.json (default: the model's own)")
    private Optional<Path> tokenizer = Optional.empty();

    @Option(
            names = "--batch-size",
            paramLabel = "N",
            defaultValue = "32",
            description = "texts per batch (default: ${DEFAULT-VALUE})")
    private int batchSize;

    @Option(
            names = "--max-length",
            paramLabel = "N",
            description = "cut texts at N tokens (default: what the model's folder says, else 512)")
    private Optional<Integer> maxLength = Optional.empty();

    @Option(
            names = "--device",
            defaultValue = "auto",
            description = "where to compute: ${COMPLETION-CANDIDATES} (default: ${DEFAULT-VALUE})")
    private Devices device = Devices.AUTO;

    /** What is done with a predictor while its model is open. */
    interface Use {
        int of(Predictor predictor) throws IOException;
    }

    /** How token states become vectors, by what the model's folder says. */
    interface Choice {
        Predictor.Vectors of(Optional<SentenceModules> folder);
    }

    /** Opens the model, and closes it after its use. */
    int use(Choice choice, Use use) throws IOException {
        check();
        if (onnx.isPresent()) {
            ModelConfig own = ModelConfig.read(folder().resolve(ModelConfig.FILE));
            Optional<SentenceModules> sentences = sentences(own);
            ModelConfig config = sentences.isPresent() ? bare(own) : own;
            String output = Architectures.of(config).outputName();
            try (OnnxRunner runner = OnnxRunner.open(onnx.get(), output, Device.valueOf(device.name()));
                    Predictor predictor = predictor(runner::run, config, choice.of(sentences))) {
                return use.of(predictor);
            }
        }
        try (Checkpoint checkpoint = Checkpoints.open(base.orElseThrow())) {
            Model own = adapter.isEmpty()
                    ? Model.of(checkpoint)
                    : Model.of(checkpoint, new Binding(checkpoint).bind(Adapters.read(adapter.get()), false));
            Optional<SentenceModules> sentences = sentences(own.config());
            Model model = sentences.isPresent() ? own.with(bare(own.config())) : own;
            try (DjlRunner runner = DjlRunner.open(model, device);
                    Predictor predictor = predictor(
                            inputs -> DoubleTensor.of(runner.run(inputs)), model.config(), choice.of(sentences))) {
                return use.of(predictor);
            }
        }
    }

    private Predictor predictor(Predictor.Engine engine, ModelConfig config, Predictor.Vectors vectors)
            throws IOException {
        int longest = maxLength.orElseGet(() -> vectors.modules().longest().orElse(LONGEST));
        return Predictor.of(engine, config, folder(), vectors, batchSize, longest);
    }

    /** How the folder of the adapter, or else of the model, makes vectors of texts; a model with classes makes none. */
    private Optional<SentenceModules> sentences(ModelConfig config) throws IOException {
        if (Architectures.of(config).head().isPresent()) {
            return Optional.empty();
        }
        Optional<SentenceModules> own = adapter.isPresent() ? SentenceModules.of(adapter.get()) : Optional.empty();
        return own.isPresent() ? own : SentenceModules.of(folder());
    }

    private static ModelConfig bare(ModelConfig config) {
        return new ModelConfig(ChangedConfig.bare(config.document()));
    }

    private void check() {
        if (base.isPresent() == onnx.isPresent()) {
            throw new UsageException("give one model: --base or --onnx");
        }
        if (adapter.isPresent() && base.isEmpty()) {
            throw new UsageException("--adapter needs --base, the checkpoint it was trained on");
        }
        if (batchSize < 1 || maxLength.filter(tokens -> tokens < 1).isPresent()) {
            throw new UsageException("--batch-size and --max-length: expected at least 1");
        }
    }

    /** Where the tokenizer and the config lie. */
    private Path folder() {
        Path model = base.or(() -> onnx).orElseThrow();
        return tokenizer.orElseGet(() -> Files.isDirectory(model) ? model : model.resolveSibling(""));
    }
}
