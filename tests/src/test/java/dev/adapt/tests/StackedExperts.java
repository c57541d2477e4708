package dev.adapt.tests;

import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Checkpoints whose experts lie in stacks, as transformers 5 holds them: gate above up in one tensor, down in another. */
public final class StackedExperts {
    private static final String EXPERTS = ".experts.";

    private StackedExperts() {}

    /** Writes a checkpoint of canonical names anew, beside it, with its experts in stacks. */
    public static Path write(Path folder) throws IOException {
        Path stacked = Files.createDirectories(folder.resolveSibling(folder.getFileName() + "-stacked"));
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        Map<String, List<FloatTensor>> stacks = new LinkedHashMap<>();
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            checkpoint.tensors().forEach((name, tensor) -> {
                int at = name.indexOf(EXPERTS);
                if (at < 0) {
                    tensors.put(name, FloatTensor.of(tensor));
                }
            });
            for (String first : checkpoint.tensors().keySet()) {
                if (first.endsWith(EXPERTS + "0.gate_proj.weight")) {
                    String module = first.substring(0, first.indexOf(EXPERTS) + EXPERTS.length());
                    for (int expert = 0; checkpoint.tensors().containsKey(name(module, expert, "down")); expert++) {
                        for (String part : List.of("gate", "up", "down")) {
                            String stack = module + (part.equals("down") ? "down_proj" : "gate_up_proj");
                            stacks.computeIfAbsent(stack, absent -> new ArrayList<>())
                                    .add(FloatTensor.of(checkpoint.tensors().get(name(module, expert, part))));
                        }
                    }
                }
            }
            stacks.forEach((name, parts) -> tensors.put(name, joined(parts, name.endsWith("gate_up_proj") ? 2 : 1)));
            SafetensorsWriter.write(stacked.resolve(Checkpoint.SINGLE), tensors, Map.of("format", "pt"));
        }
        Files.copy(folder.resolve("config.json"), stacked.resolve("config.json"));
        return stacked;
    }

    private static String name(String module, int expert, String part) {
        return module + expert + "." + part + "_proj.weight";
    }

    private static FloatTensor joined(List<FloatTensor> parts, int ofExpert) {
        Shape shape = parts.getFirst().shape();
        float[] values = new float[Math.toIntExact(parts.size() * shape.elements())];
        int at = 0;
        for (FloatTensor part : parts) {
            System.arraycopy(part.values(), 0, values, at, part.values().length);
            at += part.values().length;
        }
        return new FloatTensor(Shape.of(parts.size() / ofExpert, ofExpert * shape.dim(0), shape.dim(1)), values);
    }
}
