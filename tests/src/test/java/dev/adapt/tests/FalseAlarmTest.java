package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.verify.Comparison;
import dev.adapt.verify.Device;
import dev.adapt.verify.Report;
import dev.adapt.verify.Tolerance;
import dev.adapt.verify.form.Engine;
import dev.adapt.verify.form.Forms;
import dev.adapt.verify.form.Settings;
import dev.adapt.verify.form.Verification;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Reference cases whose files are right: base + adapter, what our merge makes of them and the ONNX model exported from that.
 * {@code ADAPT_CASES} and {@code ADAPT_FIXTURES} name the cases, {@code -Dadapt.seeds=5} runs each on 5 seeds, {@code
 * -Dadapt.alarms=FILE} appends a row of a table for each.
 */
@DisplayName("verify raises no alarm over right files")
class FalseAlarmTest {
    private static final int SEEDS = Integer.getInteger("adapt.seeds", 1);
    private static final Optional<Path> TABLE =
            Optional.ofNullable(System.getProperty("adapt.alarms")).map(Path::of);

    @TempDir
    private Path folder;

    static Stream<Path> adapters() throws IOException {
        return Stream.of("ADAPT_CASES", "ADAPT_FIXTURES")
                .flatMap(name -> Stream.ofNullable(System.getenv(name)))
                .map(Path::of)
                .flatMap(FalseAlarmTest::within)
                .sorted();
    }

    private static Stream<Path> within(Path root) {
        Path arch = root.resolve("arch");
        try (Stream<Path> all = Files.walk(Files.isDirectory(arch) ? arch : root, 3)) {
            return all.filter(path -> Files.isRegularFile(path.resolve("adapter_config.json"))).toList().stream();
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    @ParameterizedTest(name = "{0}", allowZeroInvocations = true)
    @MethodSource("adapters")
    void passes(Path adapter) throws IOException {
        Path base = adapter.resolveSibling("base");
        assumeTrue(hasGraph(base), "no graph of this architecture");
        Path merged = folder.resolve("merged");
        Cli merge = Cli.run("merge", adapter, "--into", base, "--out", merged);
        assumeTrue(merge.exitCode() == 0, merge.errors());
        Path onnx = merged.resolve("model.onnx");
        Cli export = Cli.run("export-onnx", merged, "--out", onnx);
        assumeTrue(export.exitCode() == 0, export.errors());
        for (int seed = 0; seed < SEEDS; seed++) {
            Settings settings = new Settings(
                    16,
                    seed,
                    false,
                    Optional.empty(),
                    Optional.empty(),
                    Tolerance.DEFAULT,
                    Device.CPU,
                    true,
                    Optional.empty());
            Report report = Verification.of(Forms.of(base, adapter, merged, onnx), settings, Engine.Listener.NONE);
            append(adapter, seed, report);
            assertTrue(report.passed() && report.findings().isEmpty(), report::text);
        }
    }

    private static boolean hasGraph(Path base) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            Architecture.of(ModelConfig.of(checkpoint));
            return true;
        } catch (FormatException | java.nio.file.NoSuchFileException e) {
            return false;
        }
    }

    private static void append(Path adapter, int seed, Report report) throws IOException {
        if (TABLE.isPresent()) {
            double largest = report.comparisons().stream()
                    .filter(own -> own.errors().isPresent())
                    .mapToDouble(own -> own.errors().orElseThrow().maxAbsolute())
                    .max()
                    .orElse(Double.NaN);
            List<String> failed = report.comparisons().stream()
                    .flatMap(own -> own.failure().stream())
                    .distinct()
                    .toList();
            int count = adapter.getNameCount();
            Files.writeString(
                    TABLE.get(),
                    String.format(
                            Locale.ROOT,
                            "| %s | %d | %d | %.1e | %s | %s |%n",
                            adapter.subpath(count - 2, count),
                            seed,
                            report.comparisons().stream()
                                    .map(Comparison::output)
                                    .distinct()
                                    .count(),
                            largest,
                            report.passed() ? "PASS" : "FAIL",
                            String.join("; ", failed)),
                    StandardOpenOption.CREATE,
                    StandardOpenOption.APPEND);
        }
    }
}
