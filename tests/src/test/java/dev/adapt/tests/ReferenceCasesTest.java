package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertTrue;

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
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.merge.Merger;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The logits that transformers and PEFT gave: of each architecture's base, with each adapter beside it, and with each merged
 * into it (here by our own merge), on the three engines.
 */
@DisplayName("Logits of the reference cases")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class ReferenceCasesTest {
    private static final double TOLERANCE = 1e-5;
    private static final List<String> ADAPTERS =
            List.of("lora", "lora_rs_all", "lora_pattern", "dora", "vera_seed", "vera_saved");

    @TempDir
    private Path folder;

    private double largest;

    @BeforeAll
    void printHeader() {
        System.out.printf("%-10s %-24s %10s %14s %10s%n", "", "", "DJL", "ONNX Runtime", "float64");
    }

    @ParameterizedTest(name = "{0}")
    @ValueSource(strings = {"bert", "roberta", "gpt2", "llama", "vit"})
    void logits(String architecture) throws IOException {
        Path cases = StoredCases.at("fixtures/" + architecture, folder);
        largest = 0;
        try (SafetensorsFile io = SafetensorsFile.open(cases.resolve("io.safetensors"))) {
            Path base = copied(cases.resolve("base"), folder.resolve(architecture));
            try (Checkpoint checkpoint = Checkpoint.open(base)) {
                compare(
                        architecture,
                        "base",
                        Model.of(checkpoint),
                        base,
                        io,
                        DoubleTensor.of(io.tensor("base.logits")));
                for (String name : ADAPTERS) {
                    BoundAdapter adapter = new Binding(checkpoint).bind(Adapter.read(cases.resolve(name)), false);
                    Model unmerged = Model.of(checkpoint, adapter);
                    compare(
                            architecture,
                            name,
                            unmerged,
                            base,
                            io,
                            DoubleTensor.of(io.tensor(name + ".adapter_logits")));
                    Path merged = folder.resolve(architecture + "-" + name);
                    new Merger(checkpoint, adapter, 2).merge(merged);
                    try (Checkpoint result = Checkpoint.open(merged)) {
                        compare(
                                architecture,
                                name + ", merged",
                                Model.of(result),
                                merged,
                                io,
                                StoredCases.mergedLogits(io, name));
                    }
                }
            }
        }
        assertTrue(largest <= TOLERANCE, "a logit is off by " + largest);
    }

    private void compare(
            String architecture, String form, Model model, Path home, SafetensorsFile io, DoubleTensor expected)
            throws IOException {
        Map<String, Tensor> inputs = new LinkedHashMap<>();
        for (InputSpec input : model.architecture().inputs()) {
            if (io.find("in." + input.name()).isPresent()) {
                TensorView view = io.tensor("in." + input.name());
                inputs.put(
                        input.name(),
                        input.dtype() == Dtype.I64
                                ? new LongTensor(view.shape(), view.toLongs())
                                : new FloatTensor(view.shape(), view.toFloats()));
            }
        }
        try (Engines engines = Engines.open(model, home.resolve(form.replaceAll("\\W", "_") + ".onnx"))) {
            Engines.Errors errors = engines.against(expected, inputs);
            System.out.printf(
                    "%-10s %-24s %10.1e %14.1e %10.1e%n",
                    architecture, form, errors.djl(), errors.onnx(), errors.reference());
            largest = Math.max(largest, errors.largest());
        }
    }

    /** The reference cases are read only, and an exported model lies beside its weights. */
    private static Path copied(Path from, Path to) throws IOException {
        Files.createDirectories(to);
        for (String name : List.of("config.json", Checkpoint.SINGLE)) {
            Files.copy(from.resolve(name), to.resolve(name));
        }
        return to;
    }
}
