package dev.adapt.merge.analysis;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.binding.Binding;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.merge.convert.AdapterLayers;
import dev.adapt.merge.convert.AdapterLayers.Layer;
import dev.adapt.merge.lowrank.Factors;
import dev.adapt.merge.lowrank.Rows;
import dev.adapt.merge.lowrank.Svd;
import java.util.Arrays;
import java.util.List;

/**
 * Size of one layer's update and its singular values.
 *
 * @param module the layer
 * @param relative ‖ΔW‖/‖W‖ in the Frobenius norm
 * @param values singular values of ΔW, largest first; as many as the rank of the adapter's product
 */
public record Spectrum(String module, double relative, List<Double> values) {
    public Spectrum {
        values = List.copyOf(values);
    }

    /** The share of ‖ΔW‖² in the largest singular value. */
    public double first() {
        double all = values.stream().mapToDouble(value -> value * value).sum();
        return all == 0 ? 0 : values.getFirst() * values.getFirst() / all;
    }

    /**
     * Those of an adapter's layers, in its order.
     *
     * @throws FormatException if a factor is not finite
     */
    public static List<Spectrum> of(AdapterLayers layers, Checkpoint base) {
        Binding binding = new Binding(base);
        return layers.targets().stream()
                .map(target -> of(
                        layers,
                        target,
                        Rows.of(DoubleTensor.of(target.upright(binding.weight(target))))
                                .squaredNorm()))
                .toList();
    }

    private static Spectrum of(AdapterLayers layers, Target target, double weight) {
        Layer layer = layers.layer().apply(target);
        Factors factors = layer.factors();
        try {
            // what is more than a product, as DoRA's change is, has more singular values than the product's rank
            Svd svd = layer.whole().isPresent()
                    ? Svd.leading(layer.whole().get(), factors.rank())
                    : Svd.ofProduct(factors.left(), factors.right());
            double scale = layer.whole().isPresent() ? 1 : Math.abs(layer.scale());
            double norm =
                    layer.whole().isPresent() ? layer.whole().get().squaredNorm() : scale * scale * svd.squaredNorm();
            return new Spectrum(
                    target.module(),
                    Math.sqrt(norm / weight),
                    Arrays.stream(svd.values())
                            .map(value -> scale * value)
                            .boxed()
                            .toList());
        } catch (ArithmeticException e) {
            throw new FormatException(layers.file(), target.module(), "cannot be analysed: " + e.getMessage());
        }
    }
}
