package dev.adapt.merge.convert;

import dev.adapt.formats.algebra.ReferenceOps;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.lors.LorsLayout;
import dev.adapt.formats.lors.StackedModel;
import dev.adapt.formats.lors.Stacks;
import dev.adapt.formats.method.Stack;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.model.Model;
import dev.adapt.formats.model.PlainModel;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.merge.lowrank.Factors;
import dev.adapt.merge.lowrank.Rows;
import dev.adapt.merge.lowrank.Svd;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A checkpoint as a model whose layers share weights (LORS): of each stack, W_shared is the mean of its layers' weights, and B_i·A_i the
 * truncated singular value decomposition of what is left of each, {@code W_i − W_shared}. That is the best approximation of
 * its rank (Eckart and Young, 1936) for this W_shared.
 *
 * @param stacks in the model's order
 */
public record Decomposition(StackedModel whole, List<OfStack> stacks) {
    /**
     * What a stack lost and saved.
     *
     * @param name the layers' module, with a {@code *} in the place of their number
     * @param errors of each layer {@code ‖W_i − Ŵ_i‖/‖W_i‖}, with Ŵ_i as it is stored
     * @param plain parameters of the layers' weights
     * @param parameters of W_shared and all B and A
     */
    public record OfStack(String name, int out, int in, List<Double> errors, long plain, long parameters) {
        public OfStack {
            errors = List.copyOf(errors);
        }
    }

    public Decomposition {
        stacks = List.copyOf(stacks);
    }

    /**
     * Decomposes a checkpoint, in float64; what is stored is rounded once to float32.
     *
     * @param layout ranks and groups that fit the layers
     * @param names of the modules that share weights, whole or their end after a dot
     * @throws dev.adapt.formats.FormatException if a name matches no module, a stack's layers have different shapes, or the
     *     checkpoint is not what its config calls for
     */
    public static Decomposition of(Checkpoint base, LorsLayout layout, List<String> names) throws IOException {
        ModelConfig config = ModelConfig.of(base);
        Binding binding = new Binding(base);
        binding.requireOneShape(LorsLayout.NAME, binding.targets(names, Architectures.of(config)));
        Model.of(base);
        List<Target> targets = Binding.targets(config, names);
        Map<String, Tensor> parts = new LinkedHashMap<>();
        List<OfStack> stacks = new ArrayList<>();
        Stack.of(targets)
                .forEach((stack, layers) -> stacks.add(new Layers(binding, layout, layers).decompose(stack, parts)));
        return new Decomposition(
                StackedModel.of(config, Stacks.of(layout, targets, parts), names, PlainModel.tensors(base, targets)),
                stacks);
    }

    /** The layers of one stack. */
    private record Layers(Binding binding, LorsLayout layout, List<Target> targets) {
        OfStack decompose(Stack stack, Map<String, Tensor> parts) {
            Target first = targets.getFirst();
            FloatTensor mean = mean();
            List<Stacks.Residual> residuals = new ArrayList<>();
            List<Double> errors = new ArrayList<>();
            for (Target layer : targets) {
                DoubleTensor weight = weight(layer);
                DoubleTensor residual = minus(weight, DoubleTensor.of(mean));
                Factors own = Svd.leading(Rows.of(residual), layout.rank(layer)).balancedFactors();
                Stacks.Residual stored = new Stacks.Residual(rounded(own.left()), rounded(own.right()));
                residuals.add(stored);
                DoubleTensor product =
                        new ReferenceOps().matMul(DoubleTensor.of(stored.left()), DoubleTensor.of(stored.right()));
                errors.add(norm(minus(residual, product)) / Math.max(norm(weight), Double.MIN_NORMAL));
            }
            Map<String, Tensor> own = Stacks.tensors(targets, first.transposed() ? mean.transposed() : mean, residuals);
            parts.putAll(own);
            return new OfStack(
                    stack.name(),
                    first.out(),
                    first.in(),
                    errors,
                    targets.size() * first.storedShape().elements(),
                    own.values().stream()
                            .mapToLong(tensor -> tensor.shape().elements())
                            .sum());
        }

        /** Rounded first, so that the residuals make up for the rounding. */
        private FloatTensor mean() {
            double[] sums = new double
                    [Math.multiplyExact(
                            targets.getFirst().out(), targets.getFirst().in())];
            for (Target layer : targets) {
                double[] weight = weight(layer).values();
                for (int i = 0; i < sums.length; i++) {
                    sums[i] += weight[i] / targets.size();
                }
            }
            return rounded(new DoubleTensor(weight(targets.getFirst()).shape(), sums));
        }

        /** [out, in]. */
        private DoubleTensor weight(Target layer) {
            return DoubleTensor.of(layer.upright(binding.weight(layer)));
        }
    }

    private static DoubleTensor minus(DoubleTensor left, DoubleTensor right) {
        double[] difference = left.values().clone();
        for (int i = 0; i < difference.length; i++) {
            difference[i] -= right.values()[i];
        }
        return new DoubleTensor(left.shape(), difference);
    }

    private static double norm(DoubleTensor matrix) {
        double squares = 0;
        for (double value : matrix.values()) {
            squares += value * value;
        }
        return Math.sqrt(squares);
    }

    private static FloatTensor rounded(DoubleTensor matrix) {
        return new FloatTensor(matrix.shape(), matrix.toFloats());
    }
}
