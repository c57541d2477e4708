package dev.adapt.cli.merge;

import dev.adapt.cli.export.ExportGgufCommand;
import dev.adapt.cli.options.Checkpoints;
import dev.adapt.cli.options.GivenOptions;
import dev.adapt.cli.options.OutputOptions;
import dev.adapt.cli.report.MergeReport;
import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.HeadNote;
import dev.adapt.cli.terminal.MergeProgress;
import dev.adapt.cli.terminal.Printable;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.binding.Untrained;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.PatchJournal;
import dev.adapt.formats.gguf.GgufFile;
import dev.adapt.formats.gguf.model.GgufExport;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.OutputFolder;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.lors.Expansion;
import dev.adapt.formats.lors.StackedModel;
import dev.adapt.formats.method.random.Rounding;
import dev.adapt.formats.method.seeded.Vera;
import dev.adapt.formats.safetensors.TensorRange;
import dev.adapt.formats.safetensors.TensorTarget;
import dev.adapt.formats.saved.BaseChange;
import dev.adapt.formats.saved.ChangedConfig;
import dev.adapt.formats.single.ModelPart;
import dev.adapt.merge.Estimate;
import dev.adapt.merge.LorsMerge;
import dev.adapt.merge.Merger;
import dev.adapt.merge.engine.Statistics;
import dev.adapt.merge.plan.MergePlan;
import dev.adapt.merge.undo.UndoSize;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code adapt merge}: a base with the updates of adapters in its weights. */
@Command(
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "Adds an adapter's update to its base's weights, computed in float32 and rounded once to the base's dtype.",
            "The result is a plain checkpoint; all tensors the adapter does not touch are copied byte for byte.",
            "A model with LORS becomes a plain checkpoint, without --base.",
            "Several adapters are added with their weights, each update computed from the pristine base; with --each"
                    + " they become as many merged checkpoints, from one reading of the base."
        },
        footer = {
            "",
            "Examples: adapt merge my-lora --base base --out merged --undo merged.undo",
            "          adapt merge one two --base base --weights 0.5,0.5 --out merged",
            "          adapt merge my-lora --base base --in-place",
            "          adapt merge my-lors --out plain",
            "          adapt merge one two three --base base --each --out-dir merged"
        })
public final class MergeCommand implements Callable<Integer> {
    /** Below this a model becomes a file for each tensor. */
    private static final Bytes SMALLEST_SHARD = new Bytes(1_000_000);

    @Parameters(
            paramLabel = "ADAPTER",
            arity = "1..*",
            description =
                    "adapter folder, ours or PEFT's, or a .safetensors file of kohya, LyCORIS, diffusers or ComfyUI")
    private List<Path> folders = List.of();

    @Option(
            names = {"--base", "--into"},
            paramLabel = "BASE",
            description = "checkpoint folder or .safetensors file; not for a model with LORS, which has none")
    private Optional<Path> into = Optional.empty();

    @Option(
            names = "--out",
            paramLabel = "DIR|FILE",
            description = "folder to write, a .safetensors file where BASE is one, or a .gguf file for llama.cpp")
    private Optional<Path> out = Optional.empty();

    @Option(
            names = "--only",
            paramLabel = "MODEL",
            description = "merge only the adapter of this model of a file that holds several: unet, te1, te2 or te3")
    private Optional<ModelPart> only = Optional.empty();

    @Option(
            names = "--weights",
            split = ",",
            paramLabel = "W",
            description = "factor of each adapter's update (default: 1)")
    private List<Double> weights = List.of();

    @Option(names = "--each", description = "a merged checkpoint for each adapter")
    private boolean each;

    @Option(
            names = "--out-dir",
            paramLabel = "DIR",
            description = "with --each: the folder to write them in, under the names of the adapters' folders")
    private Optional<Path> outDir = Optional.empty();

    @Option(
            names = "--in-place",
            description =
                    "write only the tensors that change: into BASE's own files, or, with --out, into a copy that shares"
                            + " BASE's blocks, where the file system can do that. A merge into BASE that is killed is undone by"
                            + " `adapt recover BASE`, or by the next merge into it")
    private boolean inPlace;

    @Option(
            names = "--undo",
            paramLabel = "FILE",
            description = "write what `adapt unmerge` needs to restore the base bit for bit")
    private Optional<Path> undo = Optional.empty();

    @Option(
            names = "--report",
            paramLabel = "FILE",
            description = "write, as JSON, the size of each weight's update and what rounding did to it")
    private Optional<Path> report = Optional.empty();

    @Option(
            names = "--max-shard-size",
            paramLabel = "SIZE",
            description = "write files of at most that size, such as 5GB or 500MiB, in place of the base's files")
    private Optional<String> maxShardSize = Optional.empty();

    @Option(names = "--force", description = "merge even if an adapter was trained on another base")
    private boolean force;

    @Option(names = "--dry-run", description = "print what would be done, and write nothing")
    private boolean dryRun;

    @Option(
            names = "--no-fsync",
            description = "do not wait until the disk has the result, which a power cut may then lose")
    private boolean noFsync;

    @Option(names = "--threads", paramLabel = "N", description = "tiles computed at a time (default: all cores)")
    private int threads = Runtime.getRuntime().availableProcessors();

    @Option(
            names = "--projection-rounding",
            description =
                    "how VeRA's projection was rounded where the adapter was trained: ${COMPLETION-CANDIDATES} (default: as the adapter says, else fma)")
    private Optional<Rounding> rounding = Optional.empty();

    private boolean untrained;

    private Optional<Path> shown = Optional.empty();

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    @Mixin
    private OutputOptions output = new OutputOptions();

    @Override
    public Integer call() throws IOException {
        return out.filter(GgufFile::isNamed).isPresent() && !dryRun ? mergeToGguf(out.get()) : mergeAll();
    }

    private int mergeToGguf(Path file) throws IOException {
        new GivenOptions(spec)
                .refuse(
                        "a GGUF file is one new file",
                        "--in-place",
                        "--each",
                        "--out-dir",
                        "--undo",
                        "--max-shard-size");
        new GivenOptions(spec).refuse("a GGUF file is always flushed to the disk", "--no-fsync");
        long start = System.nanoTime();
        Optional<Path> whole = whole();
        check();
        Outputs outputs = outputs();
        outputs.requireFile(file);
        if (whole.isPresent()) {
            return exportMerged(file, outputs, start, this::mergeAll);
        }
        Merger.Settings settings = settings().outputs(outputs);
        try (Checkpoint base = Checkpoints.open(into.orElseThrow());
                OpenAdapters opened = OpenAdapters.open(folders, base, only)) {
            outputs.madeFrom(base.snapshots());
            outputs.madeFrom(opened.snapshots());
            List<MergePlan.Weighted> adapters = adapters(base, opened);
            Merger merger = new Merger(base, adapters, settings);
            if (!merger.changesWeightsOnly()) {
                return exportMerged(file, outputs, start, () -> merge(base, adapters, settings.flush(false), start));
            }
            GgufExport export = GgufExport.run(base, named(file), file, outputs, new GgufExport.Changes() {
                @Override
                public List<TensorRange> changed() {
                    return merger.changed();
                }

                @Override
                public void write(TensorTarget target) throws IOException {
                    merger.writeChanged(target);
                }

                @Override
                public JsonDocument config(JsonDocument base) {
                    return merger.change()
                            .map(change -> ChangedConfig.of(base, change))
                            .orElse(base);
                }
            });
            warnOfLoss(merger);
            export.notes().forEach(Terminal::note);
            ExportGgufCommand.print(file, export.header(), start);
            return report(settings);
        }
    }

    /** A merge to {@link #out}. */
    private interface Merge {
        int run() throws IOException;
    }

    /** Merges into a folder beside the file, which is removed again, and exports that: what config.json will say is known then. */
    private int exportMerged(Path file, Outputs outputs, long start, Merge merge) throws IOException {
        try (OutputFolder beside = outputs.folder(file.resolveSibling(file.getFileName() + ".merged"))) {
            Path merged = beside.path().resolve("merged");
            out = Optional.of(merged);
            shown = Optional.of(file);
            int code = merge.run();
            try (Checkpoint checkpoint = Checkpoints.open(merged)) {
                GgufExport export = GgufExport.run(checkpoint, named(file), file, outputs);
                export.notes().forEach(Terminal::note);
                ExportGgufCommand.print(file, export.header(), start);
            }
            return code;
        }
    }

    private static GgufExport.Options named(Path file) {
        return new GgufExport.Options(Optional.empty(), Optional.empty(), name(String.valueOf(file.getFileName())));
    }

    private static Optional<String> name(String file) {
        return Optional.of(file.substring(0, file.length() - ".gguf".length()));
    }

    private int mergeAll() throws IOException {
        Optional<Path> whole = whole();
        check();
        long start = System.nanoTime();
        Outputs outputs = outputs();
        Merger.Settings settings = settings().outputs(outputs);
        if (whole.isEmpty()) {
            return mergeInto(into.orElseThrow(), settings, start);
        }
        return StackedModel.isIn(whole.get())
                ? mergeStacks(whole.get(), settings, start)
                : mergeDecoder(whole.get(), out.orElseThrow(), outputs);
    }

    /** What may be written, with the small outputs checked before the large one is computed. */
    private Outputs outputs() throws IOException {
        Outputs outputs = output.apartFrom(folders, List.of(into));
        if (undo.isPresent()) {
            outputs.requireFile(undo.get());
        }
        if (report.isPresent()) {
            outputs.requireFile(report.get());
        }
        return outputs;
    }

    private int mergeInto(Path folder, Merger.Settings settings, long start) throws IOException {
        if (intoBase() && !dryRun) {
            // locked before anything of it is read: what is checked is what is changed
            try (PatchJournal journal = PatchJournal.begin(folder);
                    Checkpoint base = Checkpoints.open(journal);
                    OpenAdapters opened = OpenAdapters.open(folders, base, only)) {
                settings.outputs().madeFrom(opened.snapshots());
                mergeInPlace(journal, new Merger(base, adapters(base, opened), settings), settings, start);
                return report(settings);
            }
        }
        try (Checkpoint base = Checkpoints.open(folder);
                OpenAdapters opened = OpenAdapters.open(folders, base, only)) {
            settings.outputs().madeFrom(opened.snapshots());
            return merge(base, adapters(base, opened), settings, start);
        }
    }

    private int mergeStacks(Path folder, Merger.Settings settings, long start) throws IOException {
        try (Expansion expansion = Expansion.open(folder)) {
            return merge(
                    expansion.shared(), List.of(new MergePlan.Weighted(expansion.residuals(), 1)), settings, start);
        }
    }

    private int mergeDecoder(Path folder, Path plain, Outputs outputs) throws IOException {
        if (report.isPresent() || maxShardSize.isPresent() || dryRun) {
            throw new UsageException(folder
                    + " is a decoder of queries, which is folded and not added to; leave out --report, --max-shard-size"
                    + " and --dry-run");
        }
        new GivenOptions(spec).refuse("a decoder is folded in one thread, and flushed", "--threads", "--no-fsync");
        LorsMerge merged = LorsMerge.run(folder, plain, outputs);
        Terminal.line("%s: %,d parameters of %,d with LORS", plain, merged.after(), merged.before());
        return 0;
    }

    /** The model with LORS that is merged, which needs no base: one whose layers share weights, or a decoder of queries. */
    private Optional<Path> whole() throws IOException {
        Optional<Path> whole = Optional.empty();
        for (Path folder : folders) {
            whole = StackedModel.isIn(folder) || LorsMerge.isDecoder(folder) ? Optional.of(folder) : whole;
        }
        if (whole.isEmpty() && into.isEmpty()) {
            throw new UsageException("give --base, the checkpoint that the adapter was trained on");
        }
        whole.ifPresent(folder -> {
            String what = folder + " is a whole model, with LORS";
            if (into.isPresent()) {
                throw new UsageException(what + ", and is merged into no other; leave out --base");
            }
            if (folders.size() > 1 || each || !weights.isEmpty()) {
                throw new UsageException(what + "; merge it alone, without --each and --weights");
            }
            if (inPlace || undo.isPresent()) {
                throw new UsageException(what + ", and stays as it is; leave out --in-place and --undo");
            }
            if (force || rounding.isPresent()) {
                throw new UsageException(what + ", and has no base; leave out --force and --projection-rounding");
            }
        });
        return whole;
    }

    private int merge(Checkpoint base, List<MergePlan.Weighted> adapters, Merger.Settings settings, long start)
            throws IOException {
        List<Merger> mergers = each
                ? adapters.stream()
                        .map(adapter -> new Merger(base, List.of(adapter), settings))
                        .toList()
                : List.of(new Merger(base, adapters, settings));
        if (dryRun) {
            mergers.forEach(merger -> print(merger.plan()));
            print(Estimate.of(
                    base.files().getFirst(), mergers.stream().map(Merger::plan).toList(), threads));
            return 0;
        }
        long bytes = mergers.stream().mapToLong(merger -> merger.plan().bytes()).sum();
        Optional<UndoSize> undone;
        try (MergeProgress _ = MergeProgress.show(settings.written(), bytes)) {
            undone = Merger.each(mergers, outs());
        }
        double seconds = (System.nanoTime() - start) / 1e9;
        for (int i = 0; i < mergers.size(); i++) {
            mergers.get(i).change().ifPresent(MergeCommand::print);
            noteHead(mergers.get(i));
            warnOfLoss(mergers.get(i));
            print(shown.orElse(outs().get(i)), mergers.get(i).plan(), bytes, seconds);
        }
        undone.ifPresent(this::print);
        return report(settings);
    }

    private boolean intoBase() {
        return inPlace && out.isEmpty();
    }

    private void mergeInPlace(PatchJournal journal, Merger merger, Merger.Settings settings, long start)
            throws IOException {
        long bytes = merger.bytesInPlace();
        try (MergeProgress _ = MergeProgress.show(settings.written(), bytes)) {
            merger.mergeInPlace(journal);
        }
        warnOfLoss(merger);
        double seconds = (System.nanoTime() - start) / 1e9;
        Terminal.line(
                "%s: changed in place, %d tensors adapted, %d from the adapter, %s in %.2f s",
                into.orElseThrow(), merger.plan().adapted(), merger.plan().replaced(), new Bytes(bytes), seconds);
        merger.change()
                .flatMap(BaseChange::sentences)
                .ifPresent(folder -> Terminal.note(
                        "modules.json and what belongs to it are not changed in place; copy them" + " from " + folder));
        merger.change()
                .flatMap(BaseChange::prompt)
                .ifPresent(
                        prompt -> Terminal.note("config.json stays as it is and does not record how prompts were laid"
                                + " out in training; generate takes --prompt-format " + prompt.key()));
    }

    private int report(Merger.Settings settings) throws IOException {
        if (report.isPresent()) {
            MergeReport written =
                    new MergeReport(settings.statistics().orElseThrow().tensors());
            written.write(report.get(), settings.outputs());
            Terminal.lines(Printable.message(report.get().toString()) + ": " + written.summary() + "\n");
        }
        return 0;
    }

    private void check() {
        if (threads < 1) {
            throw new UsageException("--threads: expected at least 1, found " + threads);
        }
        if (inPlace && (each || outDir.isPresent() || undo.isPresent() || maxShardSize.isPresent())) {
            throw new UsageException("--in-place goes with none of --each, --out-dir, --undo and --max-shard-size");
        }
        if (intoBase() && noFsync) {
            throw new UsageException("--in-place without --out always waits for the disk: leave out --no-fsync");
        }
        if (!intoBase() && (each != outDir.isPresent() || each == out.isPresent())) {
            throw new UsageException(
                    each
                            ? "--each needs --out-dir, and not --out"
                            : "give --out, or --each and --out-dir, or --in-place");
        }
        if (each && !(weights.isEmpty() && undo.isEmpty() && report.isEmpty())) {
            throw new UsageException("--each goes with neither --weights nor --undo nor --report");
        }
        if (!weights.isEmpty() && weights.size() != folders.size()) {
            throw new UsageException(
                    "--weights: expected " + folders.size() + ", one for each adapter, found " + weights.size());
        }
        if (only.isPresent() && folders.stream().noneMatch(Files::isRegularFile)) {
            throw new UsageException("--only is for a file with adapters of several models, and all are folders");
        }
        if (each && folders.stream().anyMatch(Files::isRegularFile)) {
            throw new UsageException("--each takes adapter folders: a file may hold several adapters; merge it alone");
        }
        Set<Path> names = new HashSet<>();
        for (Path folder : each ? folders : List.<Path>of()) {
            if (!names.add(name(folder))) {
                throw new UsageException("--each: two adapters' folders are called " + name(folder)
                        + ", and so would be what they become; rename one");
            }
        }
    }

    private static Path name(Path folder) {
        Path name = folder.toAbsolutePath().normalize().getFileName();
        return name == null ? folder : name;
    }

    private List<Path> outs() {
        String ending = into.filter(base -> !Files.isDirectory(base)).isEmpty() || maxShardSize.isPresent()
                ? ""
                : ".safetensors";
        return outDir.isPresent()
                ? folders.stream()
                        .map(folder -> outDir.get().resolve(name(folder) + ending))
                        .toList()
                : out.stream().toList();
    }

    private Merger.Settings settings() {
        Merger.Settings settings = Merger.Settings.of(threads).flush(!noFsync && shown.isEmpty());
        if (undo.isPresent()) {
            settings = settings.undo(undo.get());
        }
        if (maxShardSize.isPresent()) {
            settings = settings.maxShardBytes(maxShardBytes(maxShardSize.get()));
        }
        if (inPlace && out.isPresent()) {
            settings = settings.sharingBlocks();
        }
        return report.isPresent() ? settings.statistics(new Statistics()) : settings;
    }

    private static long maxShardBytes(String text) {
        Bytes size = Bytes.parse("--max-shard-size", text);
        if (size.count() < SMALLEST_SHARD.count()) {
            throw new UsageException(
                    "--max-shard-size: expected at least " + SMALLEST_SHARD + ", such as 5GB or 500MB, found " + text);
        }
        return size.count();
    }

    private List<MergePlan.Weighted> adapters(Checkpoint base, OpenAdapters opened) throws IOException {
        List<MergePlan.Weighted> adapters = new ArrayList<>();
        Binding binding = new Binding(base);
        for (int i = 0; i < folders.size(); i++) {
            OpenAdapters.Source source = opened.sources().get(i);
            if (!force && !source.adapters().getFirst().recordsBase()) {
                Terminal.note(MergeNotes.noBase(folders.get(i), base.path()));
            }
            double weight = weights.isEmpty() ? 1 : weights.get(i);
            List<BoundAdapter> bound = source.adapters().stream()
                    .map(adapter -> binding.bind(rounded(adapter), force))
                    .toList();
            if (bound.stream().allMatch(Untrained::is)) {
                untrained = true;
                Terminal.note(MergeNotes.untrained(folders.get(i)));
            }
            bound.forEach(each -> adapters.add(new MergePlan.Weighted(each, weight)));
        }
        return adapters;
    }

    private static void print(BaseChange change) {
        change.vocabulary().ifPresent(words -> {
            Terminal.line("config.json: vocab_size is now " + words
                    + (change.tokenizer().isPresent() ? ", and the tokenizer is the adapter's" : ""));
            if (change.tokenizer().isEmpty()) {
                Terminal.note("the adapter's folder holds no tokenizer; the base's is copied, which does not know a"
                        + " vocabulary of " + words);
            }
        });
        if (change.unties()) {
            Terminal.line("output head untied from the input embeddings: both are written, and config.json says"
                    + " tie_word_embeddings false");
        }
    }

    /** A head that is none of transformers' is called that. */
    private static void noteHead(Merger merger) {
        merger.config()
                .filter(config -> merger.change().flatMap(BaseChange::head).isPresent())
                .flatMap(config -> new ModelConfig(config).ownPooling())
                .ifPresent(pooling -> Terminal.note(HeadNote.of(pooling)));
    }

    /** Most changes lost: the user should know without asking. */
    private void warnOfLoss(Merger merger) {
        if (!untrained) {
            MergeNotes.loss(merger.lost())
                    .ifPresent(note -> Terminal.note(note + "; --report tells which (a base in f32 keeps them)"));
        }
    }

    private Adapter rounded(Adapter adapter) {
        if (rounding.isEmpty()) {
            return adapter;
        }
        if (adapter.method() instanceof Vera vera) {
            return adapter.with(vera.rounded(rounding.get()));
        }
        throw new UsageException("--projection-rounding is VeRA's: this adapter is "
                + adapter.method().peftType());
    }

    private static void print(Path out, MergePlan plan, long bytes, double seconds) {
        Terminal.line(
                "%s: %d tensors adapted, %d from the adapter, %d copied, %s in %.2f s (%s/s)",
                out, plan.adapted(), plan.replaced(), plan.copied(), new Bytes(plan.bytes()), seconds, new Bytes((long)
                        (bytes / seconds)));
    }

    private void print(UndoSize size) {
        Terminal.line(
                "%s: %s, %.1f%% of the %s of the touched tensors",
                undo.orElseThrow(),
                new Bytes(size.file()),
                100.0 * size.file() / Math.max(1, size.tensors()),
                new Bytes(size.tensors()));
    }

    private void print(Estimate estimate) {
        Terminal.line(
                "expected: about %.1f s on %d threads (measured: %s reads at %s/s; taken for granted: it writes as fast, and"
                        + " %.0f G multiply-adds a second on each)",
                estimate.seconds(),
                threads,
                into.orElse(folders.getFirst()),
                new Bytes((long) estimate.readBytes()),
                Estimate.MULTIPLY_ADDS / 1e9);
    }

    private static void print(MergePlan plan) {
        for (MergePlan.Output output : plan.outputs()) {
            Terminal.line(output.name() + ", " + new Bytes(output.header().fileBytes()));
            for (MergePlan.Task task : output.tasks()) {
                Terminal.line("  "
                        + switch (task) {
                            case MergePlan.Task.Copy copy ->
                                "copy    " + copy.tensors() + " tensors, " + new Bytes(copy.bytes());
                            case MergePlan.Task.Adapt adapt ->
                                "adapt   " + adapt.place().name() + " "
                                        + adapt.place().shape() + " "
                                        + adapt.place().dtype() + ", "
                                        + new Bytes(adapt.place().bytes());
                            case MergePlan.Task.Replace replace ->
                                "replace " + replace.place().name() + " "
                                        + replace.place().shape() + " "
                                        + replace.place().dtype();
                        });
            }
        }
    }
}
