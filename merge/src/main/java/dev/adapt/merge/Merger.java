package dev.adapt.merge;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.checkpoint.Companions;
import dev.adapt.formats.checkpoint.PatchJournal;
import dev.adapt.formats.checkpoint.ShardIndex;
import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.io.Limit;
import dev.adapt.formats.io.OutputFile;
import dev.adapt.formats.io.OutputFolder;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.safetensors.TensorRange;
import dev.adapt.formats.safetensors.TensorTarget;
import dev.adapt.formats.saved.BaseChange;
import dev.adapt.formats.saved.ChangedConfig;
import dev.adapt.merge.engine.LostChanges;
import dev.adapt.merge.engine.Pass;
import dev.adapt.merge.engine.Reservation;
import dev.adapt.merge.engine.SharedCopy;
import dev.adapt.merge.engine.Statistics;
import dev.adapt.merge.engine.WriteBehind;
import dev.adapt.merge.kernel.Kernels;
import dev.adapt.merge.plan.MergePlan;
import dev.adapt.merge.undo.UndoSize;
import dev.adapt.merge.undo.UndoWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.atomic.LongAdder;
import java.util.stream.Stream;

/**
 * Streams a base with adapters merged into it to a new checkpoint: untouched bytes through the kernel, touched weights
 * in tiles through {@link Kernels}. Memory stays the size of the adapter and a few tiles, whatever the base's size.
 */
public final class Merger {
    private final Checkpoint base;
    private final MergePlan plan;
    private final Optional<BaseChange> change;
    private final Settings settings;
    private final LostChanges lost = new LostChanges();

    /**
     * How to merge.
     *
     * @param threads how many tiles are computed at a time
     * @param flush whether to wait until the disk has the result; without, a power cut may lose it
     * @param written counts the bytes that are written, for whoever shows progress
     * @param undo where to write an undo file, if one is wanted
     * @param statistics gathers what the merge does to each weight, if that is wanted; it costs about as much again
     * @param shared whether an output begins as a copy that shares the base's blocks, of which the touched ones are written
     * @param maxShardBytes the most that the tensors of a file have together, unless it holds only one; without it, the
     *     files are those of the base
     * @param outputs what may be written where
     */
    public record Settings(
            Kernels kernels,
            int threads,
            boolean flush,
            LongAdder written,
            Optional<Path> undo,
            Optional<Statistics> statistics,
            boolean shared,
            OptionalLong maxShardBytes,
            Outputs outputs) {
        /** The best kernels, and a result that is safe on the disk. */
        public static Settings of(int threads) {
            return new Settings(
                    Kernels.best(),
                    threads,
                    true,
                    new LongAdder(),
                    Optional.empty(),
                    Optional.empty(),
                    false,
                    OptionalLong.empty(),
                    Outputs.fresh());
        }

        /** The same, with another choice whether to wait for the disk. */
        public Settings flush(boolean whether) {
            return new Settings(kernels, threads, whether, written, undo, statistics, shared, maxShardBytes, outputs);
        }

        /** The same, with an undo file. */
        public Settings undo(Path file) {
            return new Settings(
                    kernels, threads, flush, written, Optional.of(file), statistics, shared, maxShardBytes, outputs);
        }

        /** The same, with statistics. */
        public Settings statistics(Statistics gathered) {
            return new Settings(
                    kernels, threads, flush, written, undo, Optional.of(gathered), shared, maxShardBytes, outputs);
        }

        /** The same, into a copy that shares the base's blocks. */
        public Settings sharingBlocks() {
            return new Settings(kernels, threads, flush, written, undo, statistics, true, maxShardBytes, outputs);
        }

        /** The same, in shards of at most so many bytes. */
        public Settings maxShardBytes(long bytes) {
            return new Settings(
                    kernels, threads, flush, written, undo, statistics, shared, OptionalLong.of(bytes), outputs);
        }

        /** The same, as outputs of a command. */
        public Settings outputs(Outputs others) {
            return new Settings(kernels, threads, flush, written, undo, statistics, shared, maxShardBytes, others);
        }
    }

    /**
     * A merge of an adapter on all processors, planned and checked; {@link #merge} writes it.
     *
     * @throws FormatException if the adapter does not fit the base, or records another one
     */
    public static Merger of(Checkpoint base, Adapter adapter) {
        return new Merger(
                base,
                new Binding(base).bind(adapter, false),
                Runtime.getRuntime().availableProcessors());
    }

    /**
     * A merge that is planned and checked, and has written nothing.
     *
     * @param threads how many tiles are computed at a time
     */
    public Merger(Checkpoint base, BoundAdapter adapter, int threads) {
        this(base, List.of(new MergePlan.Weighted(adapter, 1)), Settings.of(threads));
    }

    /**
     * A merge of the weighted sum of adapters' updates, planned and checked.
     *
     * @throws UsageException if their updates do not add up
     */
    public Merger(Checkpoint base, List<MergePlan.Weighted> adapters, Settings settings) {
        this.base = base;
        this.plan = MergePlan.of(base, adapters, settings.maxShardBytes());
        List<BaseChange> all =
                adapters.stream().map(each -> each.adapter().change()).toList();
        List<BaseChange> changes = all.stream().filter(each -> !each.isEmpty()).toList();
        if (changes.size() > 1) {
            throw new UsageException(
                    "more than one of the adapters brings a head or other words to config.json; merge them one by one");
        }
        this.change = Stream.concat(
                        changes.stream(),
                        all.stream()
                                .filter(each -> each.prompt().isPresent()
                                        || each.sentences().isPresent()))
                .findFirst();
        this.settings = settings;
    }

    /** The config.json that it writes, if the base has one. */
    public Optional<JsonDocument> config() {
        return base.config()
                .map(own -> change.map(change -> ChangedConfig.of(own, change)).orElse(own));
    }

    /** What becomes of the base's config.json, if anything. */
    public Optional<BaseChange> change() {
        return change;
    }

    /** What the merge lost by rounding, once it is done. */
    public LostChanges lost() {
        return lost;
    }

    /** What will be done. */
    public MergePlan plan() {
        return plan;
    }

    /**
     * Merges. From a folder comes a folder with the same shards, config.json (with the adapter's head, if it brings one),
     * tokenizer and other small files; from a file comes a file if {@code out} ends with {@code .safetensors}, else a
     * folder.
     *
     * @return the size of the undo file, if one was wanted
     * @throws UsageException if the output is the base or lies in it
     * @throws FormatException if the base changes meanwhile
     * @throws IOException if something cannot be read or written; nothing then stands under {@code out} that did not
     */
    public Optional<UndoSize> merge(Path out) throws IOException {
        return each(List.of(this), List.of(out));
    }

    /**
     * Merges into the base's own files: the one case in which they change. Until the journal's commit, which ends it, the
     * journal can restore them, also after the process was killed.
     *
     * @param journal which has locked the base since before it was opened
     * @throws UsageException if the merge adds a tensor, or changes a shape or config.json
     * @throws FormatException if an adapter changes meanwhile
     * @throws IOException if something cannot be read or written; the base is as it was once the journal is closed
     */
    public void mergeInPlace(PatchJournal journal) throws IOException {
        if (!journal.checkpoint().equals(base.path())) {
            throw new IllegalArgumentException(journal.checkpoint() + " is locked, not " + base.path());
        }
        try {
            Patch.of(base, plan, change).run(journal, settings, sinks(Optional.empty()), lost);
        } catch (InternalError e) {
            throw settings.outputs().explain(e);
        }
    }

    /**
     * Whether the model stays the base's but for its weights: no tensor is added or replaced, no tokenizer is brought, and
     * config.json changes at most in how prompts are laid out.
     */
    public boolean changesWeightsOnly() {
        return plan.added().isEmpty()
                && plan.replaced() == 0
                && change.filter(own -> !own.isEmpty() || own.tokenizer().isPresent())
                        .isEmpty();
    }

    /** The matrices that it changes. */
    public List<TensorRange> changed() {
        return plan.outputs().stream()
                .flatMap(output -> output.tasks().stream())
                .flatMap(task -> task instanceof MergePlan.Task.Adapt adapt
                        ? Stream.of(new TensorRange(
                                adapt.place().name(),
                                adapt.target().offset(),
                                adapt.target().storedShape().elements()))
                        : Stream.empty())
                .toList();
    }

    /**
     * Computes the matrices that it {@linkplain #changed changes}, and nothing else.
     *
     * @throws IllegalStateException if it does more than {@linkplain #changesWeightsOnly that}
     */
    public void writeChanged(TensorTarget target) throws IOException {
        if (!changesWeightsOnly()) {
            throw new IllegalStateException("more than weights of the base is changed");
        }
        try {
            for (MergePlan.Output output : plan.outputs()) {
                Pass.Destination destination =
                        new Pass.Destination(Patch.touched(output), target, sinks(Optional.empty()), lost);
                new Pass(settings.kernels(), settings.written()).run(List.of(destination), settings.threads());
            }
        } catch (InternalError e) {
            throw settings.outputs().explain(e);
        }
    }

    /** How many bytes {@link #mergeInPlace} writes. */
    public long bytesInPlace() {
        return Patch.of(base, plan, change).bytes();
    }

    /**
     * Merges several from one reading of their base, which they must share.
     *
     * @param outs where each goes
     * @return the size of the undo file, if the first has one
     * @throws IOException if something cannot be read or written; those that were whole before stay
     */
    public static Optional<UndoSize> each(List<Merger> mergers, List<Path> outs) throws IOException {
        List<Result> results = new ArrayList<>();
        Settings settings = mergers.getFirst().settings;
        Optional<UndoWriter> undo = Optional.empty();
        try {
            settings.outputs().reads(List.of(mergers.getFirst().base.path()));
            settings.outputs().madeFrom(mergers.getFirst().base.snapshots());
            for (int i = 0; i < mergers.size(); i++) {
                results.add(Result.begin(mergers.get(i), outs.get(i)));
            }
            if (settings.undo().isPresent()) {
                undo = Optional.of(new UndoWriter(settings.undo().get(), settings.outputs()));
            }
            int files = mergers.stream()
                    .mapToInt(merger -> merger.plan.outputs().size())
                    .max()
                    .orElseThrow();
            for (int file = 0; file < files; file++) {
                write(results, file, undo);
            }
            Optional<UndoSize> size =
                    undo.isPresent() ? Optional.of(results.getFirst().merger().finish(undo.get())) : Optional.empty();
            mergers.getFirst().base.requireUnchanged();
            for (Result result : results) {
                result.finish();
            }
            return size;
        } catch (IOException e) {
            throw settings.outputs().explain(e);
        } catch (InternalError e) {
            throw settings.outputs().explain(e);
        } finally {
            for (Result result : results) {
                result.close();
            }
            if (undo.isPresent()) {
                undo.get().close();
            }
        }
    }

    /** Writes the files of a merge into a folder, each with {@link #writeFile}, in this process or in others. */
    public interface FilesWriter {
        /** Writes all of them. */
        void write(Path folder) throws IOException;
    }

    /**
     * Merges into a folder whose safetensors files are written elsewhere. They are checked when they are there; then the
     * index and the small files are written, and the folder gets its name.
     *
     * @throws FormatException if the base changes meanwhile, or a file is not as planned
     * @throws IOException if something cannot be read or written; nothing then stands under {@code out} that did not
     */
    public void mergeByFile(Path out, FilesWriter files) throws IOException {
        settings.outputs().reads(List.of(base.path()));
        settings.outputs().madeFrom(base.snapshots());
        try (OutputFolder folder = settings.outputs().folder(out, names())) {
            files.write(folder.path());
            for (MergePlan.Output output : plan.outputs()) {
                requireWritten(folder.path().resolve(output.name()), output);
            }
            base.requireUnchanged();
            writeCompanions(folder);
            folder.commit(settings.flush());
        }
    }

    private static void requireWritten(Path path, MergePlan.Output output) throws IOException {
        try (SafetensorsFile written = SafetensorsFile.open(path)) {
            if (!written.header().equals(output.header())) {
                throw new FormatException(path, "has other tensors than the merge writes there");
            }
        }
    }

    /**
     * Writes one file of the plan, and nothing else.
     *
     * @param file its place in the plan's outputs
     * @param out where to write it; nothing may exist there
     * @throws FormatException if the base changes meanwhile
     */
    public void writeFile(int file, Path out) throws IOException {
        MergePlan.Output output = plan.outputs().get(file);
        try (SafetensorsWriter writer = SafetensorsWriter.create(out, output.header());
                Reservation _ = Reservation.begin(out, output.header().fileBytes());
                WriteBehind _ = settings.flush() ? WriteBehind.of(List.of(writer), settings.written()) : () -> {}) {
            Pass.Destination destination = new Pass.Destination(output, writer, sinks(Optional.empty()), lost);
            new Pass(settings.kernels(), settings.written()).run(List.of(destination), settings.threads());
        } catch (InternalError e) {
            throw settings.outputs().explain(e);
        }
        base.requireUnchanged();
    }

    /** An unfinished checkpoint: exactly one of the two is present. */
    private record Result(Merger merger, Optional<OutputFile> single, Optional<OutputFolder> folder) {
        static Result begin(Merger merger, Path out) throws IOException {
            Outputs outputs = merger.settings.outputs();
            if (Files.isDirectory(merger.base.path()) || !out.toString().endsWith(".safetensors")) {
                return new Result(merger, Optional.empty(), Optional.of(outputs.folder(out, merger.names())));
            }
            int files = merger.plan.outputs().size();
            if (files > 1) {
                throw new UsageException(
                        out + " is to be one file, but shards of that size make " + files + "; give --out a folder");
            }
            return new Result(merger, Optional.of(outputs.file(out)), Optional.empty());
        }

        Path file(MergePlan.Output output) {
            return single.map(OutputFile::path)
                    .orElseGet(() -> folder.orElseThrow().path().resolve(output.name()));
        }

        void finish() throws IOException {
            boolean flush = merger.settings.flush();
            if (folder.isPresent()) {
                merger.writeCompanions(folder.get());
                folder.get().commit(flush);
            } else {
                single.orElseThrow().commit(flush);
            }
        }

        void close() throws IOException {
            if (folder.isPresent()) {
                folder.get().close();
            } else {
                single.orElseThrow().close();
            }
        }
    }

    private static void write(List<Result> results, int file, Optional<UndoWriter> undo) throws IOException {
        Settings settings = results.getFirst().merger().settings;
        List<SafetensorsWriter> writers = new ArrayList<>();
        List<Reservation> reserved = new ArrayList<>();
        List<Pass.Destination> destinations = new ArrayList<>();
        try {
            for (Result result : results) {
                List<MergePlan.Output> outputs = result.merger().plan.outputs();
                if (file >= outputs.size()) {
                    continue; // with shards, one that an adapter's own tensors made more of
                }
                MergePlan.Output output = outputs.get(file);
                SafetensorsWriter writer = settings.shared()
                        ? share(result, file)
                        : SafetensorsWriter.create(result.file(output), output.header());
                writers.add(writer);
                if (!settings.shared()) {
                    reserved.add(Reservation.begin(
                            result.file(output), output.header().fileBytes()));
                }
                destinations.add(new Pass.Destination(
                        settings.shared() ? Patch.touched(output) : output,
                        writer,
                        result.merger().sinks(undo),
                        result.merger().lost));
            }
            try (WriteBehind _ = settings.flush() ? WriteBehind.of(writers, settings.written()) : () -> {}) {
                new Pass(settings.kernels(), settings.written()).run(destinations, settings.threads());
            }
        } finally {
            reserved.forEach(Reservation::close);
            for (SafetensorsWriter writer : writers) {
                writer.close();
            }
        }
        if (undo.isPresent()) {
            MergePlan.Output output = destinations.getFirst().output();
            Result result = results.getFirst();
            try (SafetensorsFile merged = SafetensorsFile.open(result.file(output))) {
                undo.get().add(result.merger().base, output, merged, settings.threads());
            }
        }
    }

    private static SafetensorsWriter share(Result result, int file) throws IOException {
        MergePlan.Output output = result.merger().plan.outputs().get(file);
        SafetensorsFile source = result.merger().base.files().get(file);
        Patch.requireSame(source, output);
        SharedCopy.make(source.path(), result.file(output));
        return SafetensorsWriter.patch(result.file(output), source.header());
    }

    private List<Pass.TileSink> sinks(Optional<UndoWriter> undo) {
        List<Pass.TileSink> sinks = new ArrayList<>();
        undo.ifPresent(sinks::add);
        settings.statistics().ifPresent(gathered -> sinks.add(gathered::tile));
        return sinks;
    }

    /** Adds what a folder's base has beside its weights and the merge changes. */
    private UndoSize finish(UndoWriter undo) throws IOException {
        Map<String, String> texts = new LinkedHashMap<>();
        if (Files.isDirectory(base.path())) {
            for (String name : List.of(Checkpoint.CONFIG, base.names().index())) {
                Path file = base.path().resolve(name);
                if (Files.exists(file)) {
                    texts.put(name, InputFile.found(file).text(Limit.INDEX));
                }
            }
        }
        Map<String, byte[]> replaced = new LinkedHashMap<>();
        List<String> added = new ArrayList<>();
        for (Path file : brought()) {
            String name = String.valueOf(file.getFileName());
            Path own = base.path().resolve(name);
            if (Files.exists(own)) {
                replaced.put(name, InputFile.found(own).bytes(Limit.TOKENIZER));
            } else {
                added.add(name);
            }
        }
        return undo.commit(base, texts, replaced, added);
    }

    /** The files beside weights that an adapter brings: of its tokenizer, and of sentence-transformers. */
    private List<Path> brought() {
        List<Path> files = new ArrayList<>();
        change.flatMap(BaseChange::tokenizer).ifPresent(folder -> files.addAll(new Companions(folder).tokenizer()));
        change.flatMap(BaseChange::sentences).ifPresent(folder -> files.addAll(new Companions(folder).ofSentences()));
        return files;
    }

    /** The files of a folder that it makes. */
    private Set<String> names() throws IOException {
        Set<String> names = new HashSet<>(base.companionNames());
        names.addAll(List.of(Checkpoint.CONFIG, base.names().index()));
        brought().forEach(file -> names.add(String.valueOf(file.getFileName())));
        Optional<Path> sentences = change.flatMap(BaseChange::sentences);
        if (sentences.isPresent()) {
            names.addAll(new Companions(sentences.get()).subfolders());
        }
        plan.outputs().forEach(output -> names.add(output.name()));
        return names;
    }

    private void writeCompanions(OutputFolder folder) throws IOException {
        base.copyCompanions(folder.path());
        Optional<Path> tokenizer = change.flatMap(BaseChange::tokenizer);
        if (tokenizer.isPresent()) {
            new Companions(tokenizer.get()).copyTokenizerTo(folder.path());
        }
        Optional<Path> sentences = change.flatMap(BaseChange::sentences);
        if (sentences.isPresent()) {
            new Companions(sentences.get()).copySentencesTo(folder.path());
        }
        if (base.config().isPresent()) {
            JsonDocument config = base.config().get();
            if (change.isPresent()) {
                folder.text(
                        Checkpoint.CONFIG,
                        ChangedConfig.of(config, change.get()).text());
            } else {
                // without the byte order mark that other readers of JSON refuse
                folder.bytes(
                        Checkpoint.CONFIG,
                        JsonDocument.withoutMark(InputFile.found(config.path()).bytes(Limit.CONFIG)));
            }
        }
        boolean sharded = settings.maxShardBytes().isEmpty() && base.index().isPresent();
        if (sharded || plan.outputs().size() > 1) {
            folder.text(base.names().index(), index().text());
        }
    }

    private ShardIndex index() {
        Map<String, String> files = new LinkedHashMap<>();
        long total = 0;
        for (MergePlan.Output output : plan.outputs()) {
            for (TensorInfo tensor : output.header().tensors()) {
                files.put(tensor.name(), output.name());
                total += tensor.bytes();
            }
        }
        ObjectNode metadata = base.index().map(ShardIndex::metadata).orElseGet(JsonNodeFactory.instance::objectNode);
        return ShardIndex.of(files, total, metadata);
    }
}
