package dev.adapt.cli;

import dev.adapt.formats.io.FileTree;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.train.device.Torch;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * {@code adapt warm-up}: what the launcher runs once after a build. The ahead-of-time cache then holds the classes that
 * the commands which must start fast have loaded here.
 */
@Command(hidden = true, description = "Runs small commands once, for the launcher's class cache.")
final class WarmUpCommand implements Callable<Integer> {
    private static final int LAYERS = 4;
    private static final int WIDTH = 1024;
    private static final int RANK = 16;

    @Option(names = "--natives", description = "load DJL's native libraries instead, which unpacks them")
    private boolean natives;

    @Override
    public Integer call() throws IOException {
        if (natives) {
            Torch.loadNatives();
            return 0;
        }
        Path folder = Files.createTempDirectory("adapt-warm-up");
        PrintStream out = System.out;
        try {
            System.setOut(new PrintStream(PrintStream.nullOutputStream()));
            Path base = folder.resolve("base.safetensors");
            Path adapter = Files.createDirectory(folder.resolve("adapter"));
            SafetensorsWriter.write(base, Map.of("layer.weight", zeros(4, 4)), Map.of());
            SafetensorsWriter.write(
                    adapter.resolve("adapter_model.safetensors"),
                    Map.of(
                            "base_model.model.layer.lora_A.weight", zeros(1, 4),
                            "base_model.model.layer.lora_B.weight", zeros(4, 1)),
                    Map.of());
            Files.writeString(adapter.resolve("adapter_config.json"), "{\"peft_type\": \"LORA\", \"r\": 1}");
            run("--help");
            run("inspect", base.toString());
            run("inspect", adapter.toString());
            if (ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent()) {
                merge(folder);
            }
        } finally {
            System.setOut(out);
            FileTree.delete(folder);
        }
        return 0;
    }

    /** Large enough for Java to see which parts of a merge are worth compiling: the cache keeps that too. */
    private static void merge(Path folder) throws IOException {
        Map<String, FloatTensor> weights = new TreeMap<>();
        Map<String, FloatTensor> lora = new TreeMap<>();
        Map<String, FloatTensor> vera = new TreeMap<>();
        for (int i = 0; i < LAYERS; i++) {
            String key = "base_model.model.layer." + i;
            weights.put("layer." + i + ".weight", values(WIDTH, WIDTH));
            lora.put(key + ".lora_A.weight", values(RANK, WIDTH));
            lora.put(key + ".lora_B.weight", values(WIDTH, RANK));
            vera.put(key + ".vera_lambda_b", values(WIDTH));
            vera.put(key + ".vera_lambda_d", values(RANK));
        }
        String size = "\"r\": " + RANK + "}";
        Path ofLora = adapter(folder.resolve("lora"), lora, "{\"peft_type\": \"LORA\", " + size);
        Path ofVera = adapter(
                folder.resolve("vera"),
                vera,
                "{\"peft_type\": \"VERA\", \"projection_prng_key\": 0, \"save_projection\": false,"
                        + " \"target_modules\": [\"0\", \"1\", \"2\", \"3\"], " + size);
        for (Dtype dtype : List.of(Dtype.BF16, Dtype.F16, Dtype.F32)) {
            Path base = folder.resolve(dtype + ".safetensors");
            SafetensorsWriter.write(base, weights, dtype, Map.of());
            for (Path adapter : List.of(ofLora, ofVera)) {
                String merged = folder.resolve(adapter.getFileName() + "-" + base.getFileName())
                        .toString();
                run("merge", adapter.toString(), "--into", base.toString(), "--out", merged, "--no-fsync");
            }
        }
    }

    private static Path adapter(Path folder, Map<String, FloatTensor> tensors, String config) throws IOException {
        Files.createDirectory(folder);
        SafetensorsWriter.write(folder.resolve("adapter_model.safetensors"), tensors, Map.of());
        Files.writeString(folder.resolve("adapter_config.json"), config);
        return folder;
    }

    private static FloatTensor values(long... dims) {
        Shape shape = Shape.of(dims);
        float[] values = new float[Math.toIntExact(shape.elements())];
        for (int i = 0; i < values.length; i++) {
            values[i] = (i % 251 - 125) * 0x1p-12f;
        }
        return new FloatTensor(shape, values);
    }

    private static void run(String... args) {
        int exitCode = Adapt.commandLine(args).execute(args);
        if (exitCode != 0) {
            throw new IllegalStateException(List.of(args) + " ended with exit code " + exitCode);
        }
    }

    private static FloatTensor zeros(int rows, int columns) {
        return new FloatTensor(Shape.of(rows, columns), new float[rows * columns]);
    }
}
