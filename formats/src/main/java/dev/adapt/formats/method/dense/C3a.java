package dev.adapt.formats.method.dense;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.IntNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.Region;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.ModuleNumbers;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * C3A: ΔW is made of circulant blocks of {@code b} rows and columns, {@code ΔW[m·b + t, n·b + j] = w[m, n, (j - t) mod b] /
 * in} (Chen et al., "Parameter-Efficient Fine-Tuning via Circular Convolution", arXiv 2407.19342, section 3). The kernels w
 * [out/b, in/b, b] are trained.
 *
 * @param start how w starts
 */
public record C3a(ModuleNumbers blockSize, Start start) implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE =
            // 128 divides the widths of small encoders too, such as 384; PEFT's default, 256, does not
            new MethodType(
                    "C3A",
                    "c3a",
                    (config, metadata) -> of(config),
                    MethodType.Training.at(1e-2).set("block_size", IntNode.valueOf(128)));

    private static final String KERNEL = "c3a_kernel";
    private static final String SIZE = "block_size";
    private static final String PATTERN = "block_size_pattern";

    /** How the kernels start, by the names of {@code init_weights}. */
    public enum Start {
        /** All 0. */
        ZERO,
        /** Normal. */
        GAUSSIAN,
        /** Uniform, by Kaiming's rule. */
        KAIMING_UNIFORM,
        /** Uniform, by Glorot's rule. */
        XAVIER_UNIFORM
    }

    private static C3a of(AdapterConfig config) {
        JsonNode start = config.document().json().path("init_weights");
        if (config.document().has(SIZE)) {
            config.document().positive(SIZE, AdapterConfig.MOST_RANK);
        }
        config.ranks(PATTERN);
        return new C3a(ModuleNumbers.afterDot(config, SIZE, 256, PATTERN), start(config, start));
    }

    private static Start start(AdapterConfig config, JsonNode start) {
        if (start.isBoolean()) {
            return start.booleanValue() ? Start.ZERO : Start.XAVIER_UNIFORM;
        }
        return switch (start.asText("xavier_uniform")) {
            case "gaussian" -> Start.GAUSSIAN;
            case "kaiming_uniform" -> Start.KAIMING_UNIFORM;
            case "xavier_uniform", "null", "" -> Start.XAVIER_UNIFORM;
            default ->
                throw config.document()
                        .wrong("init_weights", "true, false, gaussian, kaiming_uniform or xavier_uniform");
        };
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public List<String> partNames() {
        return List.of(KERNEL);
    }

    @Override
    public Set<String> configFields() {
        return Set.of(SIZE, PATTERN, "init_weights");
    }

    @Override
    public boolean hasLowRankDelta() {
        return false;
    }

    private int size(Target target) {
        return (int) blockSize.of(target.module());
    }

    @Override
    public Optional<String> undefined(Target target) {
        return target.unlessLinear(title()).or(() -> unfilled(target));
    }

    private Optional<String> unfilled(Target target) {
        int size = size(target);
        return target.out() % size == 0 && target.in() % size == 0
                ? Optional.empty()
                : Optional.of("is " + target.shape() + ", which blocks of " + size + " by " + size + " do not fill");
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        int size = size(target);
        Initial initial = switch (start) {
            case ZERO -> new Initial.Constant(0);
            case GAUSSIAN -> new Initial.Normal(1);
            case KAIMING_UNIFORM -> new Initial.KaimingUniform(target.in());
            case XAVIER_UNIFORM -> new Initial.Uniform(Math.sqrt(6.0 / ((double) target.in() + target.out())));
        };
        return List.of(Part.trained(KERNEL, Shape.of(target.out() / size, target.in() / size, size), initial));
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        int size = size(target);
        T kernel = ops.affine(part.apply(KERNEL), 1.0 / target.in(), 0);
        // a row of a block is a run of its kernel laid twice
        T twice = ops.concat(2, List.of(kernel, kernel));
        return WeightChange.of(new Delta.Dense<>((tile, region) -> block(tile, twice, size, target.in(), region)));
    }

    private static <T> T block(MatrixOps<T> ops, T twice, int size, int in, Region region) {
        List<T> rows = new ArrayList<>();
        for (Runs run : Runs.of(region.row(), region.rowEnd(), size)) {
            T kernels = ops.slice(twice, 0, run.first(), run.end());
            List<T> turns = new ArrayList<>();
            for (int turn = run.from(); turn < run.to(); turn++) {
                T turned = ops.slice(kernels, 2, size - turn, 2L * size - turn);
                turns.add(ops.reshape(turned, run.count(), 1, in));
            }
            T blocks = turns.size() == 1 ? turns.getFirst() : ops.concat(1, turns);
            rows.add(ops.reshape(blocks, (long) run.count() * run.size(), in));
        }
        T all = rows.size() == 1 ? rows.getFirst() : ops.concat(0, rows);
        return ops.slice(all, 1, region.column(), region.columnEnd());
    }

    @Override
    public Optional<Shape> layerShape(Function<String, @Nullable Tensor> part) {
        Tensor kernel = part.apply(KERNEL);
        if (kernel == null || kernel.shape().rank() != 3) {
            return Optional.empty();
        }
        Shape shape = kernel.shape();
        return Optional.of(Shape.of(shape.dim(0) * shape.dim(2), shape.dim(1) * shape.dim(2)));
    }

    @Override
    public void describe(ObjectNode config) {
        blockSize.describe(config, SIZE, PATTERN);
        switch (start) {
            case ZERO -> config.put("init_weights", true);
            case GAUSSIAN -> config.put("init_weights", "gaussian");
            case KAIMING_UNIFORM -> config.put("init_weights", "kaiming_uniform");
            case XAVIER_UNIFORM -> config.put("init_weights", "xavier_uniform");
        }
    }
}
