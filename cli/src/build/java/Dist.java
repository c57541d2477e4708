import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.lang.classfile.ClassFile;
import java.lang.classfile.constantpool.ClassEntry;
import java.lang.classfile.constantpool.PoolEntry;
import java.lang.module.ModuleFinder;
import java.lang.module.ModuleReference;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.jar.JarOutputStream;
import java.util.regex.Pattern;
import java.util.spi.ToolProvider;
import java.util.stream.Stream;

/**
 * A step of the build that makes the archives of a release: what `./adapt` runs, with a Java of its own, class caches, and the
 * native libraries of this platform unpacked.
 *
 * <pre>
 * adapt-VERSION-PLATFORM/        adapt (the launcher), LICENSE, README.md
 *   runtime/                     Java, of the modules that the jars need
 *   app/                         adapt-cli.jar, lib/, minilm.jar (the demo's model), two class caches
 *   natives/                     djl/ (libtorch, tokenizers), jna/, onnxruntime/
 * </pre>
 *
 * The slim archive has no libtorch and no demo.
 */
final class Dist {
    /** All files of an archive get this time: a class cache holds the times of the jars that it was made from. */
    private static final FileTime TIME = FileTime.from(Instant.parse("2026-01-01T00:00:00Z"));

    /** Modules that no class names: the Vector API, ZIP file systems, and names and ciphers that others ask for as services. */
    private static final List<String> SERVICES = List.of("jdk.incubator.vector", "jdk.zipfs", "jdk.crypto.ec");

    private static final Pattern NATIVE = Pattern.compile(".*\\.(so|so\\.\\d+|dylib|jnilib|dll|a|yml)|.*\\.dSYM/.*");
    private static final Pattern TORCH = Pattern.compile("pytorch-native-.*\\.jar");

    private final Path checkout;
    private final Path target;
    private final String name;

    private Dist(Path checkout, Path target, String name) {
        this.checkout = checkout;
        this.target = target;
        this.name = name;
    }

    /**
     * Makes both archives.
     *
     * @param arguments the checkout, the folder {@code target} of the command line's build, and the version
     */
    public static void main(String[] arguments) throws IOException, InterruptedException {
        String name = "adapt-" + arguments[2] + "-" + platform();
        new Dist(Path.of(arguments[0]).toRealPath(), Path.of(arguments[1]).toRealPath(), name).make();
    }

    private static String platform() {
        String os = System.getProperty("os.name").toLowerCase(Locale.ROOT);
        String arch = System.getProperty("os.arch");
        return (os.startsWith("mac") ? "macos" : os.split(" ", 2)[0]) + "-" + (arch.equals("amd64") ? "x64" : arch);
    }

    private void make() throws IOException, InterruptedException {
        Path work = target.resolve("dist");
        delete(work);
        Path full = Files.createDirectories(work.resolve(name));
        copyApplication(full);
        link(full.resolve("runtime"));
        unpack(full, "onnxruntime", "ai/onnxruntime/native/" + onnxRuntimePlatform() + "/");
        unpack(full, "jna", "com/sun/jna/" + platform().replace("x64", "x86-64").replace("macos", "darwin") + "/");
        run(full, List.of(full.resolve("adapt").toString(), "warm-up", "--natives"));
        dropUnpacked(full);
        finish(full);
        Path slim = work.resolve("slim").resolve(name);
        copyTree(full, slim);
        makeSlim(slim);
        finish(slim);
        pack(full, target.resolve(name + ".tar.gz"));
        pack(slim, target.resolve(name.replaceFirst("adapt-", "adapt-slim-") + ".tar.gz"));
        delete(work);
    }

    private void copyApplication(Path folder) throws IOException {
        for (String file : List.of("adapt", "LICENSE", "README.md")) {
            Files.copy(checkout.resolve(file), folder.resolve(file), StandardCopyOption.COPY_ATTRIBUTES);
        }
        Path lib = Files.createDirectories(folder.resolve("app/lib"));
        Files.copy(target.resolve("app/adapt-cli.jar"), folder.resolve("app/adapt-cli.jar"));
        Files.copy(target.resolve("demo/minilm.jar"), folder.resolve("app/minilm.jar"));
        for (Path jar : list(target.resolve("app/lib"))) {
            Files.copy(jar, lib.resolve(jar.getFileName()));
        }
    }

    /** Java, of the modules that the jars name and of those that they find as services. */
    private static void link(Path runtime) throws IOException {
        Path lib = runtime.resolveSibling("app/lib");
        Set<String> modules = new TreeSet<>(SERVICES);
        modules.addAll(modulesNamedIn(runtime.resolveSibling("app/adapt-cli.jar")));
        for (Path jar : list(lib)) {
            modules.addAll(modulesNamedIn(jar));
        }
        StringWriter output = new StringWriter();
        PrintWriter printed = new PrintWriter(output);
        int exitCode = ToolProvider.findFirst("jlink")
                .orElseThrow()
                .run(
                        printed,
                        printed,
                        "--add-modules",
                        String.join(",", modules),
                        "--strip-java-debug-attributes",
                        "--no-header-files",
                        "--no-man-pages",
                        "--output",
                        runtime.toString());
        printed.flush();
        if (exitCode != 0) {
            throw new IllegalStateException("jlink ended with exit code " + exitCode + ": " + output);
        }
    }

    /** The modules of Java whose classes the classes of a jar name. */
    private static Set<String> modulesNamedIn(Path jar) throws IOException {
        Map<String, String> modules = new HashMap<>();
        for (ModuleReference module : ModuleFinder.ofSystem().findAll()) {
            module.descriptor()
                    .packages()
                    .forEach(name -> modules.put(name, module.descriptor().name()));
        }
        Set<String> named = new TreeSet<>();
        try (JarFile from = new JarFile(jar.toFile())) {
            for (JarEntry entry : from.stream().toList()) {
                if (!entry.getName().endsWith(".class") || entry.getName().endsWith("module-info.class")) {
                    continue;
                }
                try (InputStream in = from.getInputStream(entry)) {
                    for (PoolEntry pooled :
                            ClassFile.of().parse(in.readAllBytes()).constantPool()) {
                        if (pooled instanceof ClassEntry type) {
                            String module = modules.get(packageOf(type.asInternalName()));
                            if (module != null) {
                                named.add(module);
                            }
                        }
                    }
                }
            }
        }
        return named;
    }

    private static String packageOf(String type) {
        String name = type.substring(type.lastIndexOf('[') + 1).replaceFirst("^L(?=.*;$)", "");
        return name.substring(0, Math.max(0, name.lastIndexOf('/'))).replace('/', '.');
    }

    private static String onnxRuntimePlatform() {
        return platform().replace("macos", "osx").replace("arm64", "aarch64");
    }

    /** Unpacks the files of one folder of a library's jar. */
    private static void unpack(Path folder, String library, String prefix) throws IOException {
        Path natives = Files.createDirectories(folder.resolve("natives").resolve(library));
        Path jar = list(folder.resolve("app/lib")).stream()
                .filter(each -> each.getFileName().toString().startsWith(library))
                .findFirst()
                .orElseThrow();
        try (JarFile from = new JarFile(jar.toFile())) {
            for (JarEntry entry : from.stream().toList()) {
                String rest =
                        entry.getName().startsWith(prefix) ? entry.getName().substring(prefix.length()) : "";
                if (!rest.isEmpty() && !rest.contains("/")) {
                    try (InputStream in = from.getInputStream(entry)) {
                        Files.copy(in, natives.resolve(rest));
                    }
                }
            }
        }
    }

    /** Takes the native libraries out of the jars: those of this platform lie in {@code natives}. */
    private static void dropUnpacked(Path folder) throws IOException {
        requireFile(folder, "natives/djl/pytorch", ".*libtorch_cpu\\.(so|dylib)");
        requireFile(folder, "natives/djl/pytorch", ".*libdjl_torch\\.(so|dylib)");
        requireFile(folder, "natives/djl/tokenizers", ".*libtokenizers\\.(so|dylib)");
        requireFile(folder, "natives/onnxruntime", "libonnxruntime4j_jni\\.(so|dylib)");
        requireFile(folder, "natives/jna", "libjnidispatch\\.(so|jnilib)");
        for (Path jar : list(folder.resolve("app/lib"))) {
            if (!jar.getFileName().toString().matches("(jna|onnxruntime|pytorch-|tokenizers-).*\\.jar")) {
                continue;
            }
            Path rewritten = jar.resolveSibling(jar.getFileName() + ".new");
            try (JarFile from = new JarFile(jar.toFile());
                    JarOutputStream to = new JarOutputStream(Files.newOutputStream(rewritten))) {
                for (JarEntry entry : from.stream().toList()) {
                    if (entry.isDirectory() || NATIVE.matcher(entry.getName()).matches()) {
                        continue;
                    }
                    JarEntry copy = new JarEntry(entry.getName());
                    copy.setLastModifiedTime(TIME);
                    to.putNextEntry(copy);
                    try (InputStream in = from.getInputStream(entry)) {
                        in.transferTo(to);
                    }
                }
            }
            Files.move(rewritten, jar, StandardCopyOption.REPLACE_EXISTING);
        }
    }

    private static void requireFile(Path folder, String below, String name) throws IOException {
        Path place = folder.resolve(below);
        Optional<Path> found = Optional.empty();
        if (Files.isDirectory(place)) {
            try (Stream<Path> files = Files.walk(place)) {
                found = files.filter(file -> file.getFileName().toString().matches(name))
                        .findFirst();
            }
        }
        if (found.isEmpty()) {
            throw new IllegalStateException(place + ": no file " + name + " was unpacked there");
        }
    }

    private static void makeSlim(Path folder) throws IOException {
        delete(folder.resolve("natives/djl/pytorch"));
        Files.delete(folder.resolve("app/minilm.jar"));
        for (Path jar : list(folder.resolve("app/lib"))) {
            if (TORCH.matcher(jar.getFileName().toString()).matches()) {
                Files.delete(jar);
            }
        }
        for (Path cache : list(folder.resolve("app"))) {
            if (cache.toString().endsWith(".aot") || cache.toString().endsWith(".jsa")) {
                Files.delete(cache);
            }
        }
    }

    /** Sets all times, and then makes the class caches, which hold the times of the jars. */
    private static void finish(Path folder) throws IOException, InterruptedException {
        setTimes(folder);
        run(folder, List.of(folder.resolve("adapt").toString(), "make-caches"));
        int caches = 0;
        for (Path cache : list(folder.resolve("app"))) {
            if (cache.toString().endsWith(".aot") || cache.toString().endsWith(".jsa")) {
                caches++;
                if (Files.size(cache) == 0) {
                    throw new IllegalStateException(cache + ": Java could not make this class cache");
                }
            }
        }
        if (caches != 2) {
            throw new IllegalStateException(folder + ": has " + caches + " class caches, expected 2");
        }
        setTimes(folder);
    }

    private static void setTimes(Path folder) throws IOException {
        try (Stream<Path> all = Files.walk(folder)) {
            for (Path path : all.filter(each -> !Files.isSymbolicLink(each)).toList()) {
                Files.setLastModifiedTime(path, TIME);
            }
        }
    }

    private static void pack(Path folder, Path archive) throws IOException, InterruptedException {
        Path pending = archive.resolveSibling(archive.getFileName() + ".new");
        run(
                folder,
                List.of(
                        "tar",
                        "-czf",
                        pending.toString(),
                        "-C",
                        folder.getParent().toString(),
                        folder.getFileName().toString()));
        Files.move(pending, archive, StandardCopyOption.REPLACE_EXISTING);
        System.out.printf(Locale.ROOT, "%s: %,d bytes%n", archive, Files.size(archive));
    }

    /** Runs a command in a clean environment, so that nobody's settings get into a release. */
    private static void run(Path folder, List<String> command) throws IOException, InterruptedException {
        ProcessBuilder builder =
                new ProcessBuilder(command).redirectErrorStream(true).directory(folder.toFile());
        builder.environment().keySet().removeIf(key -> !key.equals("PATH"));
        builder.environment().put("LC_ALL", "C.UTF-8");
        Process process = builder.start();
        process.getOutputStream().close();
        String output;
        try (InputStream in = process.getInputStream()) {
            output = new String(in.readAllBytes(), StandardCharsets.UTF_8);
        }
        int exitCode = process.waitFor();
        if (exitCode != 0) {
            throw new IllegalStateException(command + " ended with exit code " + exitCode + ": " + output);
        }
    }

    private static void copyTree(Path from, Path to) throws IOException {
        Files.createDirectories(to.getParent());
        try (Stream<Path> all = Files.walk(from)) {
            all.forEach(path -> {
                try {
                    Files.copy(
                            path,
                            to.resolve(from.relativize(path).toString()),
                            StandardCopyOption.COPY_ATTRIBUTES,
                            LinkOption.NOFOLLOW_LINKS);
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            });
        }
    }

    private static List<Path> list(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.sorted().toList();
        }
    }

    private static void delete(Path folder) throws IOException {
        if (!Files.exists(folder)) {
            return;
        }
        try (Stream<Path> all = Files.walk(folder)) {
            for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }
}
