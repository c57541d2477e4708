package dev.adapt.tests.bench;

import dev.adapt.formats.safetensors.Dtype;
import dev.adapt.formats.safetensors.SafetensorsHeader;
import dev.adapt.formats.safetensors.SafetensorsWriter;
import dev.adapt.formats.safetensors.TensorInfo;
import dev.adapt.formats.safetensors.TensorSpec;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Predicate;

/** The sizes of a Llama model; makes checkpoints of that shape and adapters for them, with random values. */
record LlamaShape(int hidden, int intermediate, int layers, int heads, int keyValueHeads, int vocabulary) {
    /** What its linear layers are called. */
    static final List<String> MODULES =
            List.of("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj");

    private static final int BLOCK = 1 << 22;

    /** A linear layer. */
    record Linear(String module, int out, int in) {
        long elements() {
            return (long) out * in;
        }
    }

    List<Linear> linears() {
        int keyValue = hidden / heads * keyValueHeads;
        List<Linear> linears = new ArrayList<>();
        for (int layer = 0; layer < layers; layer++) {
            String name = "model.layers." + layer + ".";
            linears.add(new Linear(name + "self_attn.q_proj", hidden, hidden));
            linears.add(new Linear(name + "self_attn.k_proj", keyValue, hidden));
            linears.add(new Linear(name + "self_attn.v_proj", keyValue, hidden));
            linears.add(new Linear(name + "self_attn.o_proj", hidden, hidden));
            linears.add(new Linear(name + "mlp.gate_proj", intermediate, hidden));
            linears.add(new Linear(name + "mlp.up_proj", intermediate, hidden));
            linears.add(new Linear(name + "mlp.down_proj", hidden, intermediate));
        }
        return linears;
    }

    /** The layers that {@code adapter} adapts. */
    List<Linear> targets(Predicate<String> module) {
        return linears().stream().filter(linear -> module.test(linear.module())).toList();
    }

    /** Writes a checkpoint of one file. */
    void writeBase(Path file, Dtype dtype) throws IOException {
        List<TensorSpec> specs = new ArrayList<>();
        specs.add(new TensorSpec("model.embed_tokens.weight", dtype, Shape.of(vocabulary, hidden)));
        linears()
                .forEach(linear -> specs.add(
                        new TensorSpec(linear.module() + ".weight", dtype, Shape.of(linear.out(), linear.in()))));
        for (int layer = 0; layer < layers; layer++) {
            for (String norm : List.of("input_layernorm", "post_attention_layernorm")) {
                specs.add(new TensorSpec("model.layers." + layer + "." + norm + ".weight", dtype, Shape.of(hidden)));
            }
        }
        specs.add(new TensorSpec("model.norm.weight", dtype, Shape.of(hidden)));
        specs.add(new TensorSpec("lm_head.weight", dtype, Shape.of(vocabulary, hidden)));
        SafetensorsHeader header = SafetensorsHeader.of(specs, Map.of("format", "pt"));
        byte[] block = randomBlock(dtype);
        try (SafetensorsWriter writer = SafetensorsWriter.create(file, header)) {
            for (TensorInfo tensor : header.tensors()) {
                for (long at = 0; at < tensor.bytes(); at += BLOCK) {
                    long count = Math.min(BLOCK, tensor.bytes() - at);
                    writer.write(tensor, at, MemorySegment.ofArray(block).asSlice(0, count));
                }
            }
        }
    }

    /** Normal values of deviation 0.02, as trained weights have. */
    private static byte[] randomBlock(Dtype dtype) {
        Random random = new Random(1);
        byte[] block = new byte[BLOCK];
        int width = dtype.bits() / 8;
        for (int at = 0; at < BLOCK; at += width) {
            float value = (float) (0.02 * random.nextGaussian());
            int bits = switch (dtype) {
                case F32 -> Float.floatToRawIntBits(value);
                case BF16 -> Float.floatToRawIntBits(value) >>> 16;
                case F16 -> Float.floatToFloat16(value);
                default -> throw new IllegalArgumentException("no checkpoint of " + dtype);
            };
            for (int i = 0; i < width; i++) {
                block[at + i] = (byte) (bits >>> (8 * i));
            }
        }
        return block;
    }

    /** Writes a LoRA adapter of all linear layers. */
    void writeLora(Path folder, int rank, long seed) throws IOException {
        Random random = new Random(seed);
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        for (Linear linear : linears()) {
            String key = "base_model.model." + linear.module();
            tensors.put(key + ".lora_A.weight", random(random, 0.02, rank, linear.in()));
            tensors.put(key + ".lora_B.weight", random(random, 0.01, linear.out(), rank));
        }
        write(folder, tensors, """
                {"peft_type": "LORA", "r": %d, "lora_alpha": %d, "bias": "none", "fan_in_fan_out": false,
                 "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]}
                """.formatted(rank, 2 * rank));
    }

    /** Whether {@link #writeVera} adapts a module. */
    static boolean isVeraTarget(String module) {
        return module.endsWith("q_proj") || module.endsWith("o_proj");
    }

    /** Writes a VeRA adapter of the query and output projections, which holds its seed and not its projection. */
    void writeVera(Path folder, int rank, long seed) throws IOException {
        Random random = new Random(seed);
        Map<String, FloatTensor> tensors = new LinkedHashMap<>();
        for (Linear linear : targets(LlamaShape::isVeraTarget)) {
            String key = "base_model.model." + linear.module();
            tensors.put(key + ".vera_lambda_b", random(random, 0.1, linear.out()));
            tensors.put(key + ".vera_lambda_d", random(random, 0.1, rank));
        }
        write(folder, tensors, """
                {"peft_type": "VERA", "r": %d, "d_initial": 0.1, "projection_prng_key": %d, "save_projection": false,
                 "bias": "none", "fan_in_fan_out": false, "target_modules": ["q_proj", "o_proj"]}
                """.formatted(rank, seed));
    }

    private static void write(Path folder, Map<String, FloatTensor> tensors, String config) throws IOException {
        Files.createDirectories(folder);
        SafetensorsWriter.write(folder.resolve("adapter_model.safetensors"), tensors, Map.of("format", "pt"));
        Files.writeString(folder.resolve("adapter_config.json"), config);
    }

    private static FloatTensor random(Random random, double deviation, long... dims) {
        float[] values = new float[Math.toIntExact(Shape.of(dims).elements())];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (deviation * random.nextGaussian());
        }
        return new FloatTensor(Shape.of(dims), values);
    }
}
