package dev.adapt.formats.layer;

import dev.adapt.formats.algebra.Ops;
import dev.adapt.formats.graph.Layers;
import dev.adapt.formats.graph.LinearLayer;
import dev.adapt.formats.graph.Tensors;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A mixture of experts (Shazeer et al., arXiv 1701.06538), each a network of its own with tensors of its own. Every expert
 * computes every token, and those that were not chosen count 0: this is slower than computing only the chosen, and the same
 * on every interpreter.
 *
 * @param experts names within the expert
 * @param shared a network that every token passes too
 */
public record Experts(
        Router router, String name, int count, FeedForward.Gated experts, Optional<FeedForward.Gated> shared)
        implements FeedForward {
    @Override
    public List<LinearLayer> layers() {
        List<LinearLayer> layers = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            for (LinearLayer layer : experts.layers()) {
                layers.add(new LinearLayer(expert(i) + layer.name(), layer.out(), layer.in(), layer.biased()));
            }
        }
        shared.ifPresent(own -> layers.addAll(own.layers()));
        return layers;
    }

    private String expert(int index) {
        return name + "." + index + ".";
    }

    @Override
    public List<String> stacks() {
        return List.of(name + ".gate_up_proj", name + ".down_proj");
    }

    @Override
    public void addTensors(Tensors tensors, String block) {
        router.addTensors(tensors, block);
        layers().forEach(layer -> layer.addTensors(tensors, block));
    }

    @Override
    public <T> T apply(Layers<T> model, String block, T x) {
        Ops<T> ops = model.ops();
        T weights = router.weights(model, block, x);
        Optional<T> sum = shared.map(own -> own.apply(model, block, x));
        for (int i = 0; i < count; i++) {
            T own = ops.mul(experts.apply(model, block + expert(i), x), ops.slice(weights, 2, i, i + 1L));
            sum = Optional.of(sum.isPresent() ? ops.add(sum.get(), own) : own);
        }
        return sum.orElseThrow();
    }
}
