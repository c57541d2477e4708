package dev.adapt.tests.fuzz;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.code_intelligence.jazzer.Jazzer;
import com.code_intelligence.jazzer.api.FuzzedDataProvider;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.JsonNode;
import com.google.flatbuffers.Table;
import com.google.protobuf.ByteString;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.io.FileTree;
import dev.adapt.merge.undo.Unmerger;
import dev.adapt.train.ImagesHarness;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.data.LinesHarness;
import dev.adapt.train.image.PreprocessorHarness;
import dev.adapt.train.template.Template;
import dev.adapt.train.tokenizer.TokenizerHarness;
import io.airlift.compress.v3.zstd.ZstdJavaDecompressor;
import java.io.File;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Jazzer on the readers of what strangers write, in a JVM of its own with what they need and no more. For ten minutes
 * each: {@code mvn -pl tests -am verify -Dtest=FuzzTest -Dsurefire.failIfNoSpecifiedTests=false -Dadapt.fuzz.seconds=600}
 */
@DisplayName("Fuzzed readers end with nothing but the declared exceptions")
class FuzzTest {
    /** How long to fuzz; where it is 0, a number of executions decides: seconds on a quiet machine. */
    private static final int SECONDS = Integer.getInteger("adapt.fuzz.seconds", 0);

    private static final int EXECUTIONS_BY_DEFAULT = 2000;
    private static final Pattern EXECUTIONS = Pattern.compile("stat::number_of_executed_units:\\s*(\\d+)");

    private static final Pattern COVERAGE = Pattern.compile("( cov: \\d+ ft: \\d+)");

    @TempDir
    private Path work;

    enum Reader {
        HEADER(HeaderHarness.class, "header", 2048),
        INDEX(IndexHarness.class, "index", 2048),
        ADAPTER_CONFIG(AdapterConfigHarness.class, "adapter-config", 2048),
        JOURNAL(JournalHarness.class, "journal", 4096),
        UNDO(UndoHarness.class, "undo", 4096),
        /** The smallest model that is imported takes 12 KB. */
        ONNX(OnnxImportHarness.class, "onnx", 16384),
        ONNX_ADAPTER(OnnxAdapterHarness.class, "onnx-adapter", 2048),
        KOHYA(KohyaHarness.class, "kohya", 1024),
        ARCHITECTURE(ArchitectureHarness.class, "architecture", 4096),
        GGUF(GgufHarness.class, "gguf", 12288),
        CHAT_TEMPLATE(ChatTemplateHarness.class, "chat-template", 2048),
        IMAGES(ImagesHarness.class, "images", 2048),
        LINES(LinesHarness.class, "lines", 2048),
        PREPROCESSOR(PreprocessorHarness.class, "preprocessor", 2048),
        /** A pattern is compared over all of Unicode. */
        TOKENIZER(TokenizerHarness.class, "tokenizer", 2048, 200);

        private final Class<?> harness;
        private final String corpus;
        private final int longest;
        private final int executions;

        Reader(Class<?> harness, String corpus, int longest) {
            this(harness, corpus, longest, EXECUTIONS_BY_DEFAULT);
        }

        Reader(Class<?> harness, String corpus, int longest, int executions) {
            this.harness = harness;
            this.corpus = corpus;
            this.longest = longest;
            this.executions = executions;
        }
    }

    @ParameterizedTest
    @EnumSource
    void finds(Reader reader) throws Exception {
        Path seeds = Path.of(Objects.requireNonNull(FuzzTest.class.getResource("/fuzz/" + reader.corpus))
                .toURI());
        Path corpus = Files.createDirectory(work.resolve("corpus"));
        Path output = work.resolve("output.txt");
        Path scratch = scratch();
        int exitCode;
        try {
            Process process = new ProcessBuilder(command(reader, scratch, corpus, seeds))
                    .directory(work.toFile())
                    .redirectErrorStream(true)
                    .redirectOutput(output.toFile())
                    .start();
            exitCode = process.waitFor();
        } finally {
            FileTree.delete(scratch);
        }
        String text = Files.readString(output);
        Matcher executions = EXECUTIONS.matcher(text);
        assertTrue(executions.find(), text);
        System.out.printf(
                "%s: %s executions, %d inputs kept, covered%s%n",
                reader, executions.group(1), kept(corpus), coverage(text));
        assertEquals(0, exitCode, text);
        assertFalse(text.contains("== Java Exception"), text);
        assertTrue(kept(corpus) > kept(seeds), () -> "the coverage did not guide it: " + text);
    }

    /** The last that the fuzzer says of the edges and features it has seen. */
    private static String coverage(String text) {
        Matcher matcher = COVERAGE.matcher(text);
        String last = " nothing";
        while (matcher.find()) {
            last = matcher.group(1);
        }
        return last;
    }

    /** Where harnesses write files: in memory where there is such a folder, since all of it is flushed. */
    private Path scratch() throws IOException {
        Path memory = Path.of("/dev/shm");
        return Files.createTempDirectory(Files.isWritable(memory) ? memory : work, "adapt-fuzz-");
    }

    private static List<String> command(Reader reader, Path scratch, Path corpus, Path seeds) {
        return List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx512m",
                "-XX:+UseSerialGC",
                // a short run is over before C2's code would pay
                SECONDS > 0 ? "-XX:+TieredCompilation" : "-XX:TieredStopAtLevel=1",
                "-XX:+EnableDynamicAgentLoading",
                "--enable-native-access=ALL-UNNAMED",
                "--sun-misc-unsafe-memory-access=allow",
                "-Djava.io.tmpdir=" + scratch,
                "-cp",
                classPath(),
                Jazzer.class.getName(),
                "--target_class=" + reader.harness.getName(),
                "--instrumentation_includes=dev.adapt.formats.**:dev.adapt.merge.**:dev.adapt.train.**"
                        + ":com.fasterxml.jackson.core.**:io.airlift.compress.v3.zstd.**",
                // an adapter's config does hold regular expressions, as PEFT's do; ModulePattern bounds their matching
                // (the other hook guides towards matches of Java's own patterns, at a hundred times their cost)
                "--disabled_hooks=com.code_intelligence.jazzer.sanitizers.RegexInjection"
                        + ":com.code_intelligence.jazzer.sanitizers.RegexRoadblocks",
                "--reproducer_path=.",
                SECONDS > 0 ? "-max_total_time=" + SECONDS : "-runs=" + reader.executions,
                "-seed=1",
                // an input that never ends is a finding too
                "-timeout=600",
                "-max_len=" + reader.longest,
                "-print_final_stats=1",
                "-rss_limit_mb=0",
                corpus.toString(),
                seeds.toString());
    }

    /** The places of these classes: nothing else is there for Jazzer to scan. */
    private static String classPath() {
        return Stream.of(
                        FuzzTest.class,
                        FormatException.class,
                        Template.class,
                        Dataset.class,
                        JsonParser.class,
                        JsonNode.class,
                        JsonProperty.class,
                        Unmerger.class,
                        ZstdJavaDecompressor.class,
                        ByteString.class,
                        Table.class,
                        Jazzer.class,
                        FuzzedDataProvider.class)
                .map(FuzzTest::placeOf)
                .distinct()
                .collect(Collectors.joining(File.pathSeparator));
    }

    private static String placeOf(Class<?> type) {
        try {
            return Path.of(type.getProtectionDomain()
                            .getCodeSource()
                            .getLocation()
                            .toURI())
                    .toString();
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    private static long kept(Path corpus) throws IOException {
        try (Stream<Path> inputs = Files.list(corpus)) {
            return inputs.count();
        }
    }
}
