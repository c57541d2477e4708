package dev.adapt.cli.train;

import dev.adapt.cli.convert.DecompositionReport;
import dev.adapt.cli.options.Checkpoints;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.io.OutputFolder;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.lors.LorsLayout;
import dev.adapt.formats.lors.StackedModel;
import dev.adapt.formats.model.FromScratch;
import dev.adapt.formats.model.PlainModel;
import dev.adapt.formats.model.WholeModel;
import dev.adapt.merge.convert.Decomposition;
import dev.adapt.train.Learner;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import picocli.CommandLine.Option;

/** What training starts from: a base, a model that is trained whole, random values, or a base that is decomposed. */
final class StartOptions {
    private static final String TOKENIZER = "tokenizer.json";

    @Option(
            names = "--base",
            paramLabel = "DIR",
            description = "checkpoint folder, with tokenizer.json for text; lors: a folder written by --method lors")
    private Optional<Path> base = Optional.empty();

    @Option(names = "--from-scratch", description = "lors, full: start from random values, with --config")
    private boolean scratch;

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description =
                    "config.json of the model to train from scratch, or its folder; a .yaml file: options, by long names")
    private Optional<Path> config = Optional.empty();

    @Option(
            names = "--tokenizer",
            paramLabel = "FILE",
            description = "with --config: tokenizer.json of that model, or its folder")
    private Optional<Path> tokenizer = Optional.empty();

    @Option(
            names = "--into",
            paramLabel = "DIR",
            description =
                    "lors: a checkpoint to decompose, into the mean of each stack's layers and what is left of each,"
                            + " cut by SVD; without --data that is all")
    private Optional<Path> into = Optional.empty();

    /**
     * Where training starts.
     *
     * @param folder with what reads the data: tokenizer.json, preprocessor_config.json
     * @param decomposition if training starts from one
     * @param hasLearned whether a model that is trained whole has been trained before
     */
    record Start(Path folder, Learner learner, Optional<Decomposition> decomposition, boolean hasLearned) {
        /** Writes the decomposition that training would start from. */
        void write(Path out, Outputs outputs) throws IOException {
            try (OutputFolder pending = outputs.folder(out, WholeModel.files())) {
                decomposition.orElseThrow().whole().write(pending.path(), folder);
                pending.commit();
            }
            Terminal.line("Model whose layers share weights in " + out);
        }
    }

    /** The files and folders that are read. */
    List<Optional<Path>> inputs() {
        return List.of(base, into, config, tokenizer);
    }

    /**
     * What the options say.
     *
     * @param targets as the user names them, none for the usual ones
     * @throws UsageException if they contradict each other or the method
     */
    Start resolve(TrainedMethod method, MethodOptions options, List<String> targets, long seed) throws IOException {
        requireOne(method);
        if (scratch) {
            return fromScratch(method, options, targets, seed);
        }
        if (into.isPresent()) {
            return decomposed(into.get(), options.lors(), targets);
        }
        Path folder = base.orElseThrow();
        if (method instanceof TrainedMethod.Adapter adapter) {
            return new Start(folder, new Learner.Adapter(options.adapter(adapter)), Optional.empty(), false);
        }
        options.requireNone(method, "the model in " + folder + " has its own");
        if (!targets.isEmpty()) {
            throw new UsageException("--target: all of the model in " + folder + " is trained; leave it out");
        }
        return new Start(folder, new Learner.Whole(read(folder, method)), Optional.empty(), true);
    }

    private void requireOne(TrainedMethod method) {
        String name = "--method " + method;
        if (scratch && !method.isWhole()) {
            throw new UsageException(
                    "--from-scratch is for --method lors and full: " + name + " adapts a trained base");
        }
        if (into.isPresent() && !(method instanceof TrainedMethod.Stacks)) {
            throw new UsageException(
                    "--into is for --method lors, which decomposes a checkpoint; give " + name + " --base");
        }
        int given = (base.isPresent() ? 1 : 0) + (scratch ? 1 : 0) + (into.isPresent() ? 1 : 0);
        if (given != 1) {
            String choice = method.isWhole() ? "one of --base, --from-scratch and --into" : "--base";
            throw new UsageException(
                    "give " + choice + ", from which training starts" + (given > 1 ? ", and no other" : ""));
        }
        if (scratch != config.isPresent()) {
            throw new UsageException(
                    scratch
                            ? "--from-scratch needs --config, the config.json of the model to train"
                            : "--config goes with --from-scratch: a checkpoint has its own");
        }
        if (tokenizer.isPresent() && !scratch) {
            throw new UsageException("--tokenizer goes with --from-scratch: a checkpoint has its own");
        }
    }

    private Start fromScratch(TrainedMethod method, MethodOptions options, List<String> targets, long seed)
            throws IOException {
        Path given = config.orElseThrow();
        ModelConfig model = ModelConfig.at(given);
        // the head, if the task makes one, draws from the seed itself
        RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed + 1);
        WholeModel whole;
        if (method instanceof TrainedMethod.Stacks) {
            LorsLayout layout = options.lors();
            List<String> names = names(model, targets);
            GroupsOption.requireFit(layout, Binding.targets(model, names));
            whole = StackedModel.fromScratch(model, layout, names, random);
        } else {
            options.requireNone(method, "a plain model has none");
            if (!targets.isEmpty()) {
                throw new UsageException("--target: a plain model is trained whole; leave it out");
            }
            whole = FromScratch.of(model, random);
        }
        return new Start(readers(given), new Learner.Whole(whole), Optional.empty(), false);
    }

    private static List<String> names(ModelConfig model, List<String> targets) {
        return targets.isEmpty() ? Architectures.of(model).stackModules() : targets;
    }

    private Path readers(Path given) throws IOException {
        Path named = tokenizer.orElse(given);
        if (tokenizer.isPresent() && !Files.exists(named.resolve(TOKENIZER)) && !named.endsWith(TOKENIZER)) {
            throw new UsageException(
                    "--tokenizer " + named + ": expected a file called " + TOKENIZER + ", or the folder that holds it");
        }
        return Files.isDirectory(named) ? named : named.resolveSibling("").normalize();
    }

    private static Start decomposed(Path folder, LorsLayout layout, List<String> targets) throws IOException {
        try (Checkpoint checkpoint = Checkpoints.open(folder)) {
            ModelConfig model = ModelConfig.of(checkpoint);
            List<String> names = names(model, targets);
            GroupsOption.requireFit(layout, Binding.targets(model, names));
            Decomposition decomposition = Decomposition.of(checkpoint, layout, names);
            Terminal.lines(new DecompositionReport(decomposition).text());
            return new Start(folder, new Learner.Whole(decomposition.whole()), Optional.of(decomposition), true);
        }
    }

    private static WholeModel read(Path folder, TrainedMethod method) throws IOException {
        boolean stacks = StackedModel.isIn(folder);
        if (stacks != method instanceof TrainedMethod.Stacks) {
            throw new UsageException(
                    stacks
                            ? "--base " + folder
                                    + " is a model whose layers share weights: train it with --method lors, or merge it first"
                            : "--base " + folder + " is no model whose layers share weights: decompose it with --into "
                                    + folder + ", or start --from-scratch");
        }
        if (stacks) {
            return StackedModel.read(folder);
        }
        try (Checkpoint checkpoint = Checkpoints.open(folder)) {
            return PlainModel.of(checkpoint);
        }
    }
}
