package dev.adapt.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.safetensors.TensorView;
import dev.adapt.merge.Merger;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;

/** Prints a row for each merge; all of them where {@code ADAPT_FIXTURES} names the whole folder. */
@DisplayName("What adapt merges is what PEFT merges")
class ReferenceMergeTest {
    static final String[] ARCHITECTURES = {"bert", "roberta", "gpt2", "llama", "vit"};
    private static final String[] ADAPTERS = {"lora", "lora_rs_all", "lora_pattern", "dora", "vera_seed", "vera_saved"};
    private static final double LARGEST = 1e-6;

    @TempDir
    private Path folder;

    @ParameterizedTest
    @FieldSource("ARCHITECTURES")
    void mergesAsPeft(String architecture) throws IOException {
        Path home = StoredCases.at("fixtures/" + architecture, folder);
        for (String adapter : ADAPTERS) {
            if (Files.notExists(home.resolve(adapter).resolve("merged"))) {
                continue; // of those that are not committed, ReferenceCasesTest compares the logits
            }
            Path out = folder.resolve(adapter);
            try (Checkpoint base = Checkpoint.open(home.resolve("base"))) {
                new Merger(base, new Binding(base).bind(Adapter.read(home.resolve(adapter)), false), 2).merge(out);
                try (Checkpoint merged = Checkpoint.open(out);
                        Checkpoint peft = Checkpoint.open(home.resolve(adapter).resolve("merged"))) {
                    assertEquals(base.tensors().keySet(), merged.tensors().keySet());
                    assertTrue(
                            merged.tensors().keySet().containsAll(peft.tensors().keySet()));
                    double largest = difference(peft, merged);
                    double change = difference(peft, base);
                    System.out.printf(
                            Locale.ROOT,
                            "%-8s %-13s %3d tensors   adapt - PEFT %.1e   base - PEFT %.1e%n",
                            architecture,
                            adapter,
                            merged.tensors().size(),
                            largest,
                            change);
                    assertTrue(largest <= LARGEST, () -> adapter + " differs by " + largest);
                    assertTrue(change > 1e-3, () -> adapter + " changes nothing, and nothing is compared");
                }
            }
        }
    }

    /** The largest difference of an element. */
    private static double difference(Checkpoint expected, Checkpoint found) {
        double largest = 0;
        for (TensorView tensor : expected.tensors().values()) {
            float[] right = tensor.toFloats();
            float[] own = found.tensors().get(tensor.name()).toFloats();
            assertEquals(right.length, own.length, tensor.name());
            for (int i = 0; i < right.length; i++) {
                largest = Math.max(largest, Math.abs((double) right[i] - own[i]));
            }
        }
        return largest;
    }
}
