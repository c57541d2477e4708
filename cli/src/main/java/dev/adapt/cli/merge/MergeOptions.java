package dev.adapt.cli.merge;

import dev.adapt.cli.options.OutputOptions;
import dev.adapt.cli.terminal.Bytes;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.gguf.GgufFile;
import dev.adapt.formats.io.Outputs;
import dev.adapt.formats.lors.StackedModel;
import dev.adapt.formats.method.random.Rounding;
import dev.adapt.formats.single.ModelPart;
import dev.adapt.merge.LorsMerge;
import dev.adapt.merge.Merger;
import dev.adapt.merge.engine.Statistics;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** What {@code merge} is asked for, and which options go together. */
final class MergeOptions {
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
    private Optional<Path> base = Optional.empty();

    @Option(
            names = "--out",
            paramLabel = "DIR|FILE",
            description = "folder to write, a .safetensors file where BASE is one, or a .gguf file for llama.cpp")
    private Optional<Path> out = Optional.empty();

    @Option(
            names = "--only",
            paramLabel = "MODEL",
            description = "the model whose adapter to merge from a file with several: unet, te1, te2 or te3")
    private Optional<ModelPart> only = Optional.empty();

    @Option(
            names = "--weights",
            split = ",",
            paramLabel = "W",
            description = "factor of each adapter's update (default: 1)")
    private List<Double> weights = List.of();

    @Option(names = "--each", description = "write a merged checkpoint for each adapter")
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
            description = "write the norm of each weight's update, and what rounding changed, as JSON")
    private Optional<Path> report = Optional.empty();

    @Option(
            names = "--max-shard-size",
            paramLabel = "SIZE",
            description = "write files of at most that size, such as 5GB or 500MiB, in place of the base's files")
    private Optional<String> maxShardSize = Optional.empty();

    @Option(names = "--force", description = "accept a base that an adapter was not trained on")
    private boolean force;

    @Option(names = "--dry-run", description = "print what would be done, and write nothing")
    private boolean dryRun;

    @Option(names = "--no-fsync", description = "do not wait for the disk; a power cut may then lose the result")
    private boolean noFsync;

    @Option(names = "--threads", paramLabel = "N", description = "tiles computed at a time (default: all cores)")
    private int threads = Runtime.getRuntime().availableProcessors();

    @Option(
            names = "--projection-rounding",
            description =
                    "rounding of VeRA's projection on the machine that trained the adapter: ${COMPLETION-CANDIDATES}"
                            + " (default: as the adapter says, else fma)")
    private Optional<Rounding> rounding = Optional.empty();

    List<Path> adapters() {
        return folders;
    }

    Optional<Path> base() {
        return base;
    }

    /** @throws UsageException if no base is named */
    Path requireBase() {
        return base.orElseThrow(
                () -> new UsageException("give --base, the checkpoint that the adapter was trained on"));
    }

    Optional<Path> out() {
        return out;
    }

    Optional<ModelPart> only() {
        return only;
    }

    /** The factor of the update of the adapter of that number. */
    double weight(int adapter) {
        return weights.isEmpty() ? 1 : weights.get(adapter);
    }

    boolean each() {
        return each;
    }

    Optional<Path> undo() {
        return undo;
    }

    Optional<Path> report() {
        return report;
    }

    boolean force() {
        return force;
    }

    boolean dryRun() {
        return dryRun;
    }

    int threads() {
        return threads;
    }

    Optional<Rounding> rounding() {
        return rounding;
    }

    /** Whether the base's own files are to be changed. */
    boolean intoBase() {
        return inPlace && out.isEmpty();
    }

    /** The GGUF file to write, if that is what is to be written. */
    Optional<Path> gguf() {
        return out.filter(file -> GgufFile.isNamed(file) && !dryRun);
    }

    /**
     * The model with LORS that is merged, which needs no base: one whose layers share weights, or a decoder of queries.
     *
     * @throws UsageException if there is neither such a model nor a base, or an option that such a model has no use for
     */
    Optional<Path> wholeModel() throws IOException {
        Optional<Path> whole = Optional.empty();
        for (Path folder : folders) {
            whole = StackedModel.isIn(folder) || LorsMerge.isDecoder(folder) ? Optional.of(folder) : whole;
        }
        if (whole.isEmpty()) {
            requireBase();
        } else {
            requireAlone(whole.get() + " is a whole model, with LORS");
        }
        return whole;
    }

    private void requireAlone(String what) {
        if (base.isPresent()) {
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
    }

    /** @throws UsageException if options contradict each other */
    void check() {
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

    /** Where the merged checkpoints are written: one, or one for each adapter. */
    List<Destination> destinations() {
        String ending = base.filter(path -> !Files.isDirectory(path)).isEmpty() || maxShardSize.isPresent()
                ? ""
                : ".safetensors";
        return outDir.isPresent()
                ? folders.stream()
                        .map(folder -> Destination.of(outDir.get().resolve(name(folder) + ending)))
                        .toList()
                : out.stream().map(Destination::of).toList();
    }

    /** What may be written, with the small outputs checked before the large one is computed. */
    Outputs outputs(OutputOptions output) throws IOException {
        Outputs outputs = output.apartFrom(folders, List.of(base));
        if (undo.isPresent()) {
            outputs.requireFile(undo.get());
        }
        if (report.isPresent()) {
            outputs.requireFile(report.get());
        }
        return outputs;
    }

    Merger.Settings settings(Outputs outputs) {
        Merger.Settings settings = Merger.Settings.of(threads).flush(!noFsync).outputs(outputs);
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
}
