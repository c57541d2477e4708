package dev.adapt.tests.bench;

import ai.djl.huggingface.tokenizers.Encoding;
import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import dev.adapt.cli.Adapt;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.random.RandomGenerator;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** The same texts through {@code adapt predict} and through ONNX Runtime by hand, in turn. */
@Command(
        name = "tests/bench/predict",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        showDefaultValues = true,
        description = {
            "Predicts made-up texts of 3 to 40 words twice: by `adapt predict --onnx`, from the file to the printed lines, and",
            "by ONNX Runtime and DJL's tokenizer called directly, 32 texts in their order at a time, padded to the longest.",
            "Prints texts a second of each, the best of all rounds, and their ratio."
        })
final class PredictBenchmark implements Callable<Integer> {
    private static final int BATCH = 32;
    private static final int LONGEST = 512;

    @Option(
            names = "--onnx",
            required = true,
            paramLabel = "FILE",
            description = "the exported model, with config.json and tokenizer.json beside it")
    private Path onnx = Path.of("");

    @Option(names = "--texts", paramLabel = "N", description = "how many")
    private int count = 10_000;

    @Option(names = "--rounds", paramLabel = "N", description = "runs of each")
    private int rounds = 2;

    private PredictBenchmark() {}

    /** Runs the benchmark and ends the process with its exit code. */
    public static void main(String[] args) {
        System.exit(new CommandLine(new PredictBenchmark()).execute(args));
    }

    @Override
    public Integer call() throws IOException, OrtException {
        List<String> texts = texts();
        Path data = Files.write(Files.createTempFile("adapt-bench", ".txt"), texts);
        double predict = Double.MAX_VALUE;
        double direct = Double.MAX_VALUE;
        try {
            for (int round = 0; round < rounds; round++) {
                direct = Math.min(direct, direct(texts));
                predict = Math.min(predict, predict(data));
            }
        } finally {
            Files.delete(data);
        }
        System.out.printf(
                Locale.ROOT,
                "adapt predict %.0f texts/s, ONNX Runtime directly %.0f texts/s, ratio %.2f%n",
                count / predict,
                count / direct,
                direct / predict);
        return 0;
    }

    private List<String> texts() {
        String[] words =
                ("the a please send my invoice order late wrong parcel account password change cancel why how when it is"
                                + " was not delivered refund money yesterday again customer service thank you really great terrible")
                        .split(" ", -1);
        RandomGenerator random = new Random(5);
        List<String> texts = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            List<String> own = new ArrayList<>();
            int length = 3 + random.nextInt(38);
            while (own.size() < length) {
                own.add(words[random.nextInt(words.length)]);
            }
            texts.add(String.join(" ", own));
        }
        return texts;
    }

    private double predict(Path data) {
        PrintStream out = System.out;
        System.setOut(new PrintStream(OutputStream.nullOutputStream(), false, StandardCharsets.UTF_8));
        long start = System.nanoTime();
        try {
            String[] words = {"predict", "--onnx", onnx.toString(), "--data", data.toString()};
            int exitCode = Adapt.commandLine(words).execute(words);
            if (exitCode != 0) {
                throw new IllegalStateException("adapt predict ended with exit code " + exitCode);
            }
        } finally {
            System.setOut(out);
        }
        return (System.nanoTime() - start) / 1e9;
    }

    private double direct(List<String> texts) throws IOException, OrtException {
        long start = System.nanoTime();
        OrtEnvironment environment = OrtEnvironment.getEnvironment();
        try (HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.builder()
                        .optTokenizerPath(onnx.resolveSibling("tokenizer.json"))
                        .optPadding(true)
                        .optTruncation(true)
                        .optMaxLength(LONGEST)
                        .build();
                OrtSession session = environment.createSession(onnx.toString())) {
            double sum = 0;
            for (int from = 0; from < texts.size(); from += BATCH) {
                List<String> some = texts.subList(from, Math.min(texts.size(), from + BATCH));
                sum += run(environment, session, tokenizer.batchEncode(some));
            }
            if (Double.isNaN(sum)) {
                throw new IllegalStateException("the model gives NaN");
            }
        }
        return (System.nanoTime() - start) / 1e9;
    }

    /** Reads every value that the model gives, as who uses it would. */
    private static double run(OrtEnvironment environment, OrtSession session, Encoding[] tokens) throws OrtException {
        long[][] ids = Arrays.stream(tokens).map(Encoding::getIds).toArray(long[][]::new);
        long[][] mask = Arrays.stream(tokens).map(Encoding::getAttentionMask).toArray(long[][]::new);
        long[][] types = Arrays.stream(tokens).map(Encoding::getTypeIds).toArray(long[][]::new);
        try (OnnxTensor first = OnnxTensor.createTensor(environment, ids);
                OnnxTensor second = OnnxTensor.createTensor(environment, mask);
                OnnxTensor third = OnnxTensor.createTensor(environment, types)) {
            Map<String, OnnxTensor> inputs =
                    new HashMap<>(Map.of("input_ids", first, "attention_mask", second, "token_type_ids", third));
            inputs.keySet().retainAll(session.getInputNames());
            try (OrtSession.Result result = session.run(inputs)) {
                OnnxTensor output = (OnnxTensor) result.get(0);
                double sum = 0;
                for (float value : output.getFloatBuffer().array()) {
                    sum += value;
                }
                return sum;
            }
        }
    }
}
