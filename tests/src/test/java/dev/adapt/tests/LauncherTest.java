package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** The launcher in a checkout of a few files, with a Maven and a Java that only record how they were called. */
@DisplayName("The launcher")
@DisabledOnOs(OS.WINDOWS)
class LauncherTest {
    private static final FileTime OLD = FileTime.from(Instant.parse("2001-01-01T00:00:00Z"));
    private static final FileTime LATE = FileTime.from(Instant.parse("2037-01-01T00:00:00Z"));

    @TempDir
    private Path folder;

    private Path root;
    private Path source;

    private record Ended(int exitCode, String text) {}

    @BeforeEach
    void prepare() throws IOException {
        root = folder.resolve("checkout");
        source = root.resolve("cli/src/main/java/A.java");
        Files.createDirectories(source.getParent());
        Files.createDirectories(root.resolve("cli/src/build"));
        Files.writeString(root.resolve("cli/src/build/B.java"), "class B {}\n");
        Files.writeString(root.resolve("pom.xml"), "<project/>\n");
        Files.writeString(root.resolve("cli/pom.xml"), "<project/>\n");
        Files.writeString(source, "class A {}\n");
        Files.copy(Path.of("..", "adapt"), root.resolve("adapt"));
        executable(root.resolve("adapt"), Files.readString(root.resolve("adapt")));
        executable(
                folder.resolve("bin/mvn"),
                "#!/bin/sh\necho built >>\"" + folder
                        + "/builds\"\nmkdir -p cli/target/app\n: >cli/target/app/adapt-cli.jar\n");
        jdk(folder.resolve("jdk"));
        executable(folder.resolve("jdk/bin/javac"), "#!/bin/sh\n");
    }

    /** A Java 25 that says what it was called with. */
    private static void jdk(Path home) throws IOException {
        executable(
                home.resolve("bin/java"),
                "#!/bin/sh\necho \"$0 $*\"\necho telemetry: $ORT_DISABLE_TELEMETRY $OPT_OUT_TRACKING\n");
        Files.writeString(home.resolve("release"), "IMPLEMENTOR=\"none\"\nJAVA_VERSION=\"25.0.9\"\n");
    }

    private static void executable(Path file, String text) throws IOException {
        Files.createDirectories(file.getParent());
        Files.writeString(file, text);
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
    }

    private Ended launch(Path checkout, String... words) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(checkout.resolve("adapt").toString()));
        command.addAll(List.of(words));
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().put("JAVA_HOME", folder.resolve("jdk").toString());
        builder.environment().put("PATH", folder.resolve("bin") + ":" + System.getenv("PATH"));
        Process process = builder.start();
        process.getOutputStream().close();
        String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertTrue(process.waitFor(1, TimeUnit.MINUTES), "it does not end");
        return new Ended(process.exitValue(), text);
    }

    private long builds() throws IOException {
        Path builds = folder.resolve("builds");
        return Files.exists(builds) ? Files.readAllLines(builds).size() : 0;
    }

    private void assertBuilds(long expected, Path checkout) throws IOException, InterruptedException {
        Ended ended = launch(checkout, "--help");
        assertEquals(0, ended.exitCode(), ended.text());
        assertTrue(
                ended.text().contains("-jar " + checkout.toRealPath() + "/cli/target/app/adapt-cli.jar --help"),
                ended.text());
        assertTrue(
                ended.text().contains("telemetry: 1 true"),
                "libraries must not report to their makers: " + ended.text());
        assertEquals(expected, builds(), ended.text());
    }

    @Test
    @DisplayName("builds when the content of a source changes, whatever the times of files say")
    void content() throws IOException, InterruptedException {
        assertBuilds(1, root);
        assertBuilds(1, root);
        for (FileTime time : List.of(LATE, OLD)) {
            Files.setLastModifiedTime(source, time);
            Files.setLastModifiedTime(root.resolve("pom.xml"), time);
            assertBuilds(1, root);
        }
        Files.writeString(source, "class C {}\n");
        Files.setLastModifiedTime(source, OLD);
        assertBuilds(2, root);
        assertBuilds(2, root);
        Files.writeString(source, "class A {}\n");
        assertBuilds(3, root);
        Files.move(source, source.resolveSibling("D.java"));
        assertBuilds(4, root);
        Files.writeString(source.resolveSibling(".hidden"), "an editor's");
        Files.writeString(source.resolveSibling("D.java~"), "an editor's");
        assertBuilds(4, root);
    }

    @Test
    @DisplayName("does not build again what was built, when both are restored elsewhere with new times")
    void restored() throws IOException, InterruptedException {
        assertBuilds(1, root);
        Path elsewhere = folder.resolve("elsewhere");
        try (Stream<Path> files = Files.walk(root)) {
            for (Path file : files.filter(each -> !root.relativize(each).startsWith(".build"))
                    .toList()) {
                Files.copy(file, elsewhere.resolve(root.relativize(file).toString()));
            }
        }
        executable(elsewhere.resolve("adapt"), Files.readString(root.resolve("adapt")));
        Files.setLastModifiedTime(elsewhere.resolve("cli/target/app/built"), OLD);
        assertBuilds(1, elsewhere);
    }

    @Test
    @DisplayName("of a release runs the Java beside it, with its natives and caches, and never builds")
    void release() throws IOException, InterruptedException {
        Path release = folder.resolve("a release");
        Files.createDirectories(release.resolve("app"));
        Files.writeString(release.resolve("app/plain-25.0.9.aot"), "a cache");
        executable(release.resolve("adapt"), Files.readString(root.resolve("adapt")));
        jdk(release.resolve("runtime"));
        Ended ended = launch(release, "inspect", "model");
        assertEquals(0, ended.exitCode(), ended.text());
        String place = release.toRealPath().toString();
        assertTrue(ended.text().startsWith(place + "/runtime/bin/java "), ended.text());
        for (String part : List.of(
                "-XX:AOTCache=" + place + "/app/plain-25.0.9.aot",
                "-Djna.boot.library.path=" + place + "/natives/jna",
                "-DENGINE_CACHE_DIR=" + place + "/natives/djl",
                "-Donnxruntime.native.path=" + place + "/natives/onnxruntime",
                "-jar " + place + "/app/adapt-cli.jar inspect model")) {
            assertTrue(ended.text().contains(part), part + " is missing in " + ended.text());
        }
        assertEquals(0, builds());
        assertFalse(Files.exists(release.resolve(".build")), "it writes into the release");
    }
}
