package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.binding.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsFile;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.merge.Merger;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The encoders of texts and images and the heads among the reference cases: what transformers and PEFT gave of the base, of
 * the base with the adapter beside it, and of the two merged (here by our own merge), on the three engines. Differences are
 * relative to the root mean square of the expected output.
 */
@DisplayName("Outputs of the encoders among the reference cases")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class EncoderCasesTest {
    /** What float32 itself leaves. */
    private static final double TOLERANCE = 5e-5;

    @TempDir
    private Path folder;

    static Stream<String> names() {
        String only = System.getenv().getOrDefault("ADAPT_ONLY", "");
        return only.isEmpty() ? all() : Stream.of(only.split(","));
    }

    private static Stream<String> all() {
        return Stream.of(
                "arch/albert",
                "arch/bert_gelu_new",
                "arch/bert_is_decoder_lmhead",
                "arch/bert_maskedlm",
                "arch/bert_model",
                "arch/bert_multilabel",
                "arch/bert_nextsentence",
                "arch/bert_qa",
                "arch/bert_quick_gelu",
                "arch/bert_regression",
                "arch/bert_seqcls",
                "arch/bert_tokencls",
                "arch/camembert",
                "arch/clip",
                "arch/deberta_v2",
                "arch/deit",
                "arch/dinov2",
                "arch/distilbert",
                "arch/electra",
                "arch/layoutlm_like_ernie",
                "arch/modernbert",
                "arch/mpnet",
                "arch/nomic_bert",
                "arch/roberta",
                "arch/roberta_maskedlm",
                "arch/roberta_tokencls",
                "arch/siglip",
                "arch/vit",
                "arch/vit_model",
                "arch/vit_no_qkv_bias",
                "arch/xlm_roberta",
                "methods/head_llama_tokencls",
                "methods/head_question_answering",
                "methods/head_token_cls",
                "methods/head_token_cls_bare_base",
                "methods/head_token_cls_base_with_pooler");
    }

    @BeforeAll
    void head() {
        System.out.printf("%-40s %-9s %8s %8s %8s%n", "", "", "DJL", "ONNX", "float64");
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("names")
    void outputs(String name) throws IOException {
        String named = System.getenv("ADAPT_CASES");
        assumeTrue(named != null, "ADAPT_CASES does not name the folder of reference cases");
        Path each = Path.of(named, name);
        assumeTrue(Files.isDirectory(each), "there is no such case in " + named);
        Path base = copied(each.resolve("base"), folder.resolve(name));
        double largest = 0;
        try (SafetensorsFile io = SafetensorsFile.open(each.resolve("io.safetensors"));
                Checkpoint checkpoint = Checkpoint.open(base)) {
            BoundAdapter adapter = new Binding(checkpoint).bind(Adapter.read(each.resolve("adapter")), false);
            // an adapter that brings the head has nothing to compare its base with
            if (adapter.change().task().isEmpty()) {
                largest = Math.max(largest, compare(name, "base", Model.of(checkpoint), base, io));
            }
            largest = Math.max(largest, compare(name, "adapter", Model.of(checkpoint, adapter), base, io));
            Path merged = folder.resolve(name + "-merged");
            new Merger(checkpoint, adapter, 2).merge(merged);
            try (Checkpoint result = Checkpoint.open(merged)) {
                largest = Math.max(largest, compare(name, "merged", Model.of(result), merged, io));
            }
        }
        assertTrue(largest <= TOLERANCE, "an output is off by " + largest);
    }

    private static double compare(String name, String form, Model model, Path home, SafetensorsFile io)
            throws IOException {
        DoubleTensor expected = DoubleTensor.of(io.tensor(form + ".logits"));
        double size = Math.sqrt(Arrays.stream(expected.values())
                .map(each -> each * each)
                .average()
                .orElseThrow());
        try (Engines engines = Engines.open(model, home.resolve(form + ".onnx"))) {
            Engines.Errors errors = engines.against(expected, inputs(model, io));
            System.out.printf(
                    "%-40s %-9s %8.1e %8.1e %8.1e%n",
                    name, form, errors.djl() / size, errors.onnx() / size, errors.reference() / size);
            return errors.largest() / size;
        }
    }

    private static Map<String, Tensor> inputs(Model model, SafetensorsFile io) {
        Map<String, Tensor> inputs = new LinkedHashMap<>();
        for (InputSpec input : model.architecture().inputs()) {
            Optional<TensorView> found = io.find("in." + input.name());
            Shape shape = found.map(TensorView::shape)
                    .orElseGet(() -> io.tensor("in.input_ids").shape());
            inputs.put(
                    input.name(),
                    input.dtype() == Dtype.F32
                            ? FloatTensor.of(found.orElseThrow())
                            // token types that are not given are 0
                            : new LongTensor(
                                    shape,
                                    found.map(TensorView::toLongs).orElseGet(() -> new long[(int) shape.elements()])));
        }
        return inputs;
    }

    /** The reference cases are read only, and an exported model lies beside its weights. */
    private static Path copied(Path from, Path to) throws IOException {
        Files.createDirectories(to);
        for (String file : new String[] {Checkpoint.SINGLE, Checkpoint.CONFIG}) {
            Files.copy(from.resolve(file), to.resolve(file));
        }
        return to;
    }
}
