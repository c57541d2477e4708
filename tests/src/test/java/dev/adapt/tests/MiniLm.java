package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.sentence.SentenceModules;
import dev.adapt.train.data.Text;
import dev.adapt.train.predict.Prediction;
import dev.adapt.train.predict.Predictor;
import dev.adapt.verify.runner.ReferenceRunner;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;

/** The MiniLM of Maven Central as a checkpoint, and the vectors that it makes of texts by the float64 reference. */
final class MiniLm {
    static final List<String> TEXTS = List.of(
            "The invoice for March is wrong, please send it again.",
            "How do I change my password?",
            "A man is playing a guitar on the street.",
            "naïve café: 3,5 % of 12 µm – isn't it?",
            "Reset",
            "The parcel was delivered to a neighbour two days late and its box was open when she brought it over.");

    private Path base = Path.of("");
    private List<double[]> expected = List.of();

    /** Imports it into a folder. */
    void prepare(Path folder) throws IOException {
        for (String name : List.of("all-minilm-l6-v2.onnx", "all-minilm-l6-v2-tokenizer.json")) {
            try (InputStream in = Objects.requireNonNull(MiniLm.class.getResourceAsStream("/" + name))) {
                Files.copy(in, folder.resolve(name));
            }
        }
        base = folder.resolve("base");
        Cli.succeeds(
                "import-onnx",
                folder.resolve("all-minilm-l6-v2.onnx"),
                "--tokenizer",
                folder.resolve("all-minilm-l6-v2-tokenizer.json"),
                "--out",
                base);
        Predictor.Vectors mean = new Predictor.Vectors(new SentenceModules(Pooling.MEAN, true), Optional.empty());
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            Model model = Model.of(checkpoint);
            ReferenceRunner reference = new ReferenceRunner(model);
            try (Predictor predictor = Predictor.of(reference::run, model.config(), base, mean, 1, 512)) {
                List<Text> texts = new ArrayList<>();
                TEXTS.forEach(text -> texts.add(new Text.Single(text)));
                expected = predictor.predict(texts).stream()
                        .map(each -> ((Prediction.Embedding) each).values())
                        .toList();
            }
        }
    }

    /** The checkpoint. */
    Path base() {
        return base;
    }

    /** Requires a cosine with the reference of each text's vector, which may have any length. */
    void assertVectors(List<float[]> found, double least) {
        assertEquals(expected.size(), found.size());
        for (int i = 0; i < found.size(); i++) {
            double product = 0;
            double square = 0;
            for (int j = 0; j < found.get(i).length; j++) {
                product += expected.get(i)[j] * found.get(i)[j];
                square += (double) found.get(i)[j] * found.get(i)[j];
            }
            double cosine = product / Math.sqrt(square);
            assertTrue(cosine >= least, TEXTS.get(i) + ": cosine " + cosine);
        }
    }
}
