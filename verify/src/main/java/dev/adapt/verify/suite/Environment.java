package dev.adapt.verify.suite;

import dev.adapt.formats.io.InputFile;
import dev.adapt.formats.io.Sha256;
import dev.adapt.verify.form.Forms;
import dev.adapt.verify.runner.OnnxRunner;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/** What a verification ran on, so that its result can be told from that of another machine. */
public record Environment(String java, String system, int processors, String onnxRuntime, List<String> providers) {
    /** A file of a form and its SHA-256 digest. */
    public record Digest(Path file, long bytes, String sha256) {}

    /** That of this process. */
    public static Environment here() {
        return new Environment(
                Runtime.version().toString(),
                System.getProperty("os.name") + " " + System.getProperty("os.version") + ", "
                        + System.getProperty("os.arch"),
                Runtime.getRuntime().availableProcessors(),
                OnnxRunner.version(),
                OnnxRunner.providers());
    }

    /** The files of forms: configs and weights. */
    static List<Digest> of(Forms forms) throws IOException {
        List<Digest> digests = new ArrayList<>();
        for (Path path : paths(forms)) {
            for (Path file : within(path)) {
                digests.add(new Digest(file, Files.size(file), sha256(file)));
            }
        }
        return digests;
    }

    static List<Path> paths(Forms forms) {
        List<Path> paths = new ArrayList<>();
        forms.base().ifPresent(paths::add);
        forms.adapter().ifPresent(paths::add);
        paths.addAll(forms.merged());
        paths.addAll(forms.gguf());
        paths.addAll(forms.onnx());
        forms.onnxAdapter().ifPresent(paths::add);
        return paths;
    }

    /** The configs and weights of a folder; of a file, itself. */
    static List<Path> within(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) {
            return List.of(folder);
        }
        try (Stream<Path> all = Files.list(folder)) {
            return all.filter(Files::isRegularFile)
                    .filter(file -> {
                        String name = String.valueOf(file.getFileName());
                        return name.endsWith(".safetensors") || name.endsWith("config.json");
                    })
                    .sorted()
                    .toList();
        }
    }

    private static String sha256(Path file) throws IOException {
        try (InputStream in = InputFile.found(file).stream()) {
            return Sha256.hex(in);
        }
    }
}
