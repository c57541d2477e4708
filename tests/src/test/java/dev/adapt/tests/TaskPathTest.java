package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.lowrank.CondLora;
import dev.adapt.formats.method.lowrank.Lora;
import dev.adapt.formats.method.random.Rounding;
import dev.adapt.formats.method.seeded.Vera;
import dev.adapt.train.Learner;
import dev.adapt.train.Progress;
import dev.adapt.train.TrainConfig;
import dev.adapt.train.TrainResult;
import dev.adapt.train.Trainer;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.device.Devices;
import dev.adapt.train.metric.Metric;
import dev.adapt.train.metric.Scores;
import dev.adapt.train.task.CausalLm;
import dev.adapt.train.task.Classification;
import dev.adapt.train.task.ImageClassification;
import dev.adapt.train.task.Regression;
import dev.adapt.train.task.Task;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Random;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

@DisplayName("Every architecture learns its task, and its adapter survives merging, export and verification")
class TaskPathTest {
    private static final int EXAMPLES = 48;
    private static final int LENGTH = 9;
    private static final List<String> ROWS = new ArrayList<>();

    @TempDir
    private static Path folder;

    static Stream<Arguments> cases() {
        Dataset.Columns columns = Dataset.Columns.UNKNOWN;
        return Stream.of(
                        Arguments.of(TinyModel.BERT, new Classification(columns)),
                        Arguments.of(TinyModel.BERT, new Regression(columns)),
                        Arguments.of(TinyModel.ROBERTA, new Classification(columns)),
                        Arguments.of(TinyModel.GPT2, new CausalLm(columns)),
                        Arguments.of(TinyModel.LLAMA, new CausalLm(columns)),
                        Arguments.of(TinyModel.LLAMA, new Classification(columns)),
                        Arguments.of(TinyModel.VIT, new ImageClassification()))
                .flatMap(model -> Stream.of(
                                new Lora(4, 8, 0), new Vera(16, 0.1, 0, 0, false, Rounding.FMA), new CondLora(4, 8, 0))
                        .map(method -> Arguments.of(model.get()[0], model.get()[1], method)));
    }

    @ParameterizedTest(name = "{0}, {1}, {2}")
    @MethodSource("cases")
    void wholePath(TinyModel model, Task task, AdapterMethod method) throws IOException {
        String name = model + "-" + task.name() + "-" + method.peftType();
        Path base = model.write(folder.resolve(name + "-base"), 3);
        Path data = data(task, name);
        TrainResult result = train(base, data, task, method, folder.resolve(name));
        Scores before = result.scores().getFirst();
        Scores after = result.kept();
        Path merged = folder.resolve(name + "-merged");
        Path onnx = merged.resolve("model.onnx");
        assertDone("merge", result.out(), "--into", base, "--out", merged);
        assertDone("export-onnx", merged, "--out", onnx);
        assertDone("verify", "--base", base, "--adapter", result.out(), "--merged", merged, "--onnx", onnx);
        Metric metric = result.chosenBy();
        ROWS.add(String.format(
                Locale.ROOT,
                "%-8s %-22s %-8s %6d + %4d  loss %8.4f -> %8.4f  %s %.4f -> %.4f  verified",
                model,
                task.name(),
                method.peftType(),
                result.adapterParameters(),
                result.headParameters(),
                before.loss(),
                after.loss(),
                metric.label(),
                before.of(metric),
                after.of(metric)));
        assertTrue(after.loss() < 0.8 * before.loss(), before.loss() + " to " + after.loss());
    }

    @AfterAll
    static void table() {
        System.out.println("architecture, task, method, trained parameters (adapter + head), dev loss and metric");
        ROWS.forEach(System.out::println);
    }

    private static TrainResult train(Path base, Path data, Task task, AdapterMethod method, Path out)
            throws IOException {
        TrainConfig config = new TrainConfig(
                base,
                new Learner.Adapter(method),
                List.of(),
                task,
                data,
                data,
                out,
                Optional.empty(),
                12,
                8,
                method instanceof Vera ? 0.1 : 0.02,
                0.05,
                0,
                0.1,
                1,
                32,
                false,
                Optional.empty(),
                7,
                Devices.CPU);
        return Trainer.train(config, Progress.SILENT, () -> false).orElseThrow();
    }

    private static Path data(Task task, String name) throws IOException {
        Random random = new Random(11);
        if (task instanceof ImageClassification) {
            return images(folder.resolve(name + "-images"), random);
        }
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < EXAMPLES; i++) {
            lines.append(
                    switch (task) {
                        case CausalLm lm -> "{\"input_ids\": " + counting(random) + "}\n";
                        default -> {
                            int kind = i % 3;
                            String label = task instanceof Regression ? Double.toString(kind / 2.0) : "kind " + kind;
                            yield "{\"input_ids\": " + ofKind(kind, random) + ", \"label\": \"" + label + "\"}\n";
                        }
                    });
        }
        return Files.writeString(folder.resolve(name + ".jsonl"), lines);
    }

    /** Every token one more than the one before. */
    private static List<Integer> counting(Random random) {
        int first = 2 + random.nextInt(20);
        List<Integer> ids = new ArrayList<>();
        for (int i = 0; i < LENGTH; i++) {
            ids.add(first + i);
        }
        return ids;
    }

    /** Tokens of one third of the vocabulary. */
    private static List<Integer> ofKind(int kind, Random random) {
        List<Integer> ids = new ArrayList<>();
        int length = 3 + random.nextInt(LENGTH - 3);
        for (int i = 0; i < length; i++) {
            ids.add(2 + 12 * kind + random.nextInt(12));
        }
        return ids;
    }

    /** Images of three colours, with noise. */
    private static Path images(Path path, Random random) throws IOException {
        for (int i = 0; i < EXAMPLES; i++) {
            int kind = i % 3;
            BufferedImage image = new BufferedImage(10, 9, BufferedImage.TYPE_INT_RGB);
            for (int y = 0; y < image.getHeight(); y++) {
                for (int x = 0; x < image.getWidth(); x++) {
                    int noise = random.nextInt(0x40) * 0x010101;
                    image.setRGB(x, y, noise + (0x90 << (8 * kind)));
                }
            }
            Path file = path.resolve("kind " + kind).resolve(i + ".png");
            Files.createDirectories(file.getParent());
            ImageIO.write(image, "png", file.toFile());
        }
        return path;
    }

    private static void assertDone(Object... args) {
        Cli result = Cli.run(args);
        assertEquals(0, result.exitCode(), result.errors());
    }
}
