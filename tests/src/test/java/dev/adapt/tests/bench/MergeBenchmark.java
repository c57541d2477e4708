package dev.adapt.tests.bench;

import dev.adapt.formats.safetensors.Dtype;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.Callable;
import java.util.function.ToDoubleFunction;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Whole processes of {@code adapt merge} on a Llama-shaped checkpoint, each paired with a {@code cp} of the file. */
@Command(
        name = "tests/bench/merge",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        showDefaultValues = true,
        description = {
            "Makes a Llama-shaped checkpoint and adapters in a temporary folder, merges them with `adapt merge` and",
            "prints the times beside `cp` of the same file, and beside the least that this machine could need."
        })
final class MergeBenchmark implements Callable<Integer> {
    /** A product of low rank, dense changes, gains, and transformations of the weight. */
    private static final List<String> KINDS = List.of(
            "lora",
            "loha",
            "lokr",
            "c3a",
            "fourierft",
            "shira",
            "hira",
            "ia3",
            "lora:use_dora=true",
            "road",
            "hra",
            "oft",
            "boft",
            "boft:boft_n_butterfly_factor=2",
            "miss:init_weights=bat");

    @Option(names = "--hidden", paramLabel = "N", description = "width of the model")
    private int hidden = 2048;

    @Option(names = "--intermediate", paramLabel = "N", description = "width of the MLP")
    private int intermediate = 5632;

    @Option(names = "--layers", paramLabel = "N", description = "number of layers; 94 make 8.8 GB")
    private int layers = 22;

    @Option(names = "--heads", paramLabel = "N", description = "attention heads")
    private int heads = 32;

    @Option(names = "--kv-heads", paramLabel = "N", description = "key-value heads")
    private int keyValueHeads = 4;

    @Option(names = "--vocab", paramLabel = "N", description = "vocabulary")
    private int vocabulary = 32000;

    @Option(names = "--dtype", paramLabel = "DTYPE", description = "BF16, F16 or F32")
    private Dtype dtype = Dtype.BF16;

    @Option(
            names = "--method",
            split = ",",
            paramLabel = "METHOD",
            description = {
                "lora and vera with the ranks below; any other method by name, at its usual size, on all linear layers",
                "a setting follows a colon: miss:init_weights=bat; kinds: one method of each kind of change"
            })
    private List<String> methods = List.of("lora", "vera");

    @Option(names = "--lora-rank", paramLabel = "N", description = "on all seven kinds of linear layer")
    private int loraRank = 16;

    @Option(names = "--vera-rank", paramLabel = "N", description = "on the query and output projections")
    private int veraRank = 256;

    @Option(names = "--threads", split = ",", paramLabel = "N", description = "threads to merge with")
    private List<Integer> threads = List.of(1, 2);

    @Option(
            names = "--runs",
            paramLabel = "N",
            description = "pairs of cp and merge, each run once before; medians are printed")
    private int runs = 5;

    @Option(
            names = "--each",
            paramLabel = "N",
            description = "instead: that many LoRA adapters, merged one by one and by one `adapt merge --each`")
    private int each;

    @Option(names = "--folder", paramLabel = "DIR", description = "where to make the files, which are deleted again")
    private Optional<Path> folder = Optional.empty();

    private MergeBenchmark() {}

    /** Runs the benchmark and ends the process with its exit code. */
    public static void main(String[] args) {
        System.exit(new CommandLine(new MergeBenchmark())
                .setCaseInsensitiveEnumValuesAllowed(true)
                .execute(args));
    }

    @Override
    public Integer call() throws IOException, InterruptedException {
        Path work = folder.isPresent()
                ? Files.createTempDirectory(Files.createDirectories(folder.get()), "adapt-bench")
                : Files.createTempDirectory("adapt-bench");
        try {
            LlamaShape shape = new LlamaShape(hidden, intermediate, layers, heads, keyValueHeads, vocabulary);
            Path base = work.resolve("base.safetensors");
            shape.writeBase(base, dtype);
            sync(base); // or the disk is busy with it while we measure
            Machine machine = Machine.measure(base, work.resolve("scratch"));
            double startUp = startUp(work);
            print(
                    "base %s, %.2f GB, %d linear layers; one core: reads %.1f GB/s, writes %.1f GB/s, %.1f G FMA/s; "
                            + "start-up %.2f s",
                    dtype,
                    Files.size(base) / 1e9,
                    shape.linears().size(),
                    machine.readBytes() / 1e9,
                    machine.writeBytes() / 1e9,
                    machine.fma() / 1e9,
                    startUp);
            if (each > 0) {
                measureEach(shape, work, base);
                return 0;
            }
            for (String method : methods.equals(List.of("kinds")) ? KINDS : methods) {
                Path adapter = work.resolve(method);
                OptionalLong products = writeAdapter(shape, method, adapter);
                for (int count : threads) {
                    measure(work, base, adapter, count, machine, startUp, products);
                }
            }
        } finally {
            delete(work);
        }
        return 0;
    }

    /** Returns the number of fused multiply-adds of a merge, where that is what it computes. */
    private OptionalLong writeAdapter(LlamaShape shape, String method, Path adapter) throws IOException {
        int rank;
        List<LlamaShape.Linear> targets;
        switch (method) {
            case "lora" -> {
                rank = loraRank;
                targets = shape.linears();
                shape.writeLora(adapter, rank, 1);
            }
            case "vera" -> {
                rank = veraRank;
                targets = shape.targets(LlamaShape::isVeraTarget);
                shape.writeVera(adapter, rank, 1);
            }
            default -> {
                RandomAdapter.of(method, shape.linears()).write(adapter, LlamaShape.MODULES, Path.of("base"));
                return OptionalLong.empty();
            }
        }
        return OptionalLong.of(
                rank * targets.stream().mapToLong(LlamaShape.Linear::elements).sum());
    }

    /** The median time to merge next to nothing. */
    private static double startUp(Path work) throws IOException, InterruptedException {
        LlamaShape tiny = new LlamaShape(32, 64, 1, 2, 1, 32);
        Path base = work.resolve("tiny.safetensors");
        tiny.writeBase(base, Dtype.BF16);
        tiny.writeLora(work.resolve("tiny-lora"), 4, 1);
        List<Measured> times = new ArrayList<>();
        for (int i = 0; i < 5; i++) {
            times.add(merge(work, base, work.resolve("tiny-lora"), 2));
        }
        return median(times, Measured::seconds);
    }

    private void measure(
            Path work, Path base, Path adapter, int count, Machine machine, double startUp, OptionalLong products)
            throws IOException, InterruptedException {
        long bytes = Files.size(base);
        List<Measured> copies = new ArrayList<>();
        List<Measured> synced = new ArrayList<>();
        List<Measured> merges = new ArrayList<>();
        List<Measured> syncedMerges = new ArrayList<>();
        Path copy = work.resolve("copy.safetensors");
        // the file system is busy for a while with what was synced and is deleted: what is not synced comes first
        Measured.run(List.of("sync"));
        for (int run = 0; run < runs; run++) {
            copies.add(measured(copy, List.of("cp", base.toString(), copy.toString())));
            merges.add(merge(work, base, adapter, count, "--no-fsync"));
        }
        for (int run = 0; run < runs; run++) {
            synced.add(measured(copy, List.of("sh", "-c", "cp '" + base + "' '" + copy + "' && sync '" + copy + "'")));
            syncedMerges.add(merge(work, base, adapter, count));
        }
        print("%n%s, %d %s", adapter.getFileName(), count, count == 1 ? "thread" : "threads");
        row("cp", copies, bytes, copies);
        row("adapt merge --no-fsync", merges, bytes, copies);
        row("cp && sync", synced, bytes, synced);
        row("adapt merge", syncedMerges, bytes, synced);
        products.ifPresent(own -> floor(bytes, machine, startUp, own, count, median(merges, Measured::seconds)));
    }

    /** The least that a merge by products of low rank could need. */
    private static void floor(long bytes, Machine machine, double startUp, long products, int count, double seconds) {
        double read = bytes / machine.readBytes();
        double write = bytes / machine.writeBytes();
        double arithmetic = products / machine.fma();
        // Linux lets one thread at a time write to a file
        double floor = startUp + Math.max(write, (read + write + arithmetic) / count);
        print(
                "  floor %.2f s = start-up %.2f + the larger of write %.2f and (read %.2f + write %.2f + arithmetic "
                        + "%.2f) / %d; measured %.2f s; the rest, %.2f s, is conversion, compiling and waiting",
                floor, startUp, write, read, write, arithmetic, count, seconds, seconds - floor);
    }

    /** As many merged models as there are adapters, from one reading of the base and from one for each. */
    private void measureEach(LlamaShape shape, Path work, Path base) throws IOException, InterruptedException {
        List<Path> folders = new ArrayList<>();
        for (int i = 0; i < each; i++) {
            folders.add(work.resolve("lora-" + i));
            shape.writeLora(folders.getLast(), loraRank, i);
        }
        Path out = work.resolve("each");
        for (int count : threads) {
            List<Double> ratios = new ArrayList<>();
            List<Measured> together = new ArrayList<>();
            List<Double> alone = new ArrayList<>();
            for (int run = 0; run < runs; run++) {
                double seconds = 0;
                // kept until the last is written, as --each keeps its own: unwritten pages fill memory in both
                Path single = Files.createDirectory(work.resolve("single"));
                for (Path adapter : folders) {
                    Path merged = single.resolve(adapter.getFileName() + ".safetensors");
                    seconds += Measured.run(mergeCommand(base, adapter, merged, count, "--no-fsync"))
                            .seconds();
                }
                delete(single);
                sync(base);
                List<String> command =
                        new ArrayList<>(List.of(System.getProperty("adapt.launcher"), "merge", "--each"));
                folders.forEach(folder -> command.add(folder.toString()));
                command.addAll(List.of("--into", base.toString(), "--out-dir", out.toString(), "--no-fsync"));
                command.addAll(List.of("--threads", Integer.toString(count)));
                together.add(Measured.run(command));
                delete(out);
                sync(base);
                alone.add(seconds);
                ratios.add(together.getLast().seconds() / seconds);
            }
            print(
                    "%d adapters, %d threads: one by one %.2f s, --each %.2f s, %.2f x; --each took %.2f s of CPU and %.0f MB",
                    each,
                    count,
                    alone.stream().sorted().toList().get(runs / 2),
                    median(together, Measured::seconds),
                    ratios.stream().sorted().toList().get(runs / 2),
                    median(together, Measured::cpuSeconds),
                    together.stream().mapToLong(Measured::peakResident).max().orElseThrow() / 1e6);
        }
    }

    private static Measured merge(Path work, Path base, Path adapter, int count, String... options)
            throws IOException, InterruptedException {
        Path out = work.resolve("merged.safetensors");
        return measured(out, mergeCommand(base, adapter, out, count, options));
    }

    private static List<String> mergeCommand(Path base, Path adapter, Path out, int count, String... options) {
        List<String> command = new ArrayList<>(List.of(System.getProperty("adapt.launcher"), "merge"));
        command.addAll(List.of(adapter.toString(), "--into", base.toString(), "--out", out.toString()));
        command.addAll(List.of("--threads", Integer.toString(count)));
        command.addAll(List.of(options));
        return command;
    }

    /**
     * Runs a command that writes a file, and deletes it. Virtual machines give freed memory back to their host within seconds, and
     * to get it anew costs more than the copy: the command is run before, and what it wrote deleted at once, so that it finds the
     * memory it needs.
     */
    private static Measured measured(Path out, List<String> command) throws IOException, InterruptedException {
        Files.deleteIfExists(out);
        Measured.run(command);
        Files.delete(out);
        Measured measured = Measured.run(command);
        Files.delete(out);
        return measured;
    }

    private static void row(String what, List<Measured> times, long bytes, List<Measured> comparedWith) {
        double seconds = median(times, Measured::seconds);
        double best = times.stream().mapToDouble(Measured::seconds).min().orElseThrow();
        List<Double> ratios = new ArrayList<>();
        for (int i = 0; i < times.size(); i++) {
            ratios.add(times.get(i).seconds() / comparedWith.get(i).seconds());
        }
        print(
                "  %-24s %6.2f s (best %.2f)  %4.2f x  %5.2f GB/s  CPU %5.2f s  peak %4.0f MB, anonymous %4.0f MB",
                what,
                seconds,
                best,
                ratios.stream().sorted().toList().get(ratios.size() / 2),
                bytes / seconds / 1e9,
                median(times, Measured::cpuSeconds),
                times.stream().mapToLong(Measured::peakResident).max().orElseThrow() / 1e6,
                times.stream().mapToLong(Measured::peakAnonymous).max().orElseThrow() / 1e6);
    }

    private static double median(List<Measured> times, ToDoubleFunction<Measured> of) {
        double[] sorted = times.stream().mapToDouble(of).sorted().toArray();
        return sorted[sorted.length / 2];
    }

    private static void sync(Path file) throws IOException, InterruptedException {
        Measured.run(List.of("sync", file.toString()));
    }

    private static void print(String format, Object... values) {
        System.out.printf(Locale.ROOT, format + "%n", values);
    }

    private static void delete(Path tree) throws IOException {
        try (Stream<Path> paths = Files.walk(tree)) {
            for (Path path :
                    paths.sorted((left, right) -> right.compareTo(left)).toList()) {
                Files.delete(path);
            }
        }
    }
}
