package dev.adapt.train.detect;

import dev.adapt.formats.architecture.query.QueryDecoder;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * An image as a decoder of queries sees it, and what is in it.
 *
 * @param features sampled for each query, [queries, groups, points, channels]
 * @param queries [queries, hidden]
 * @param anchors the box that each query's features were sampled in
 */
public record Scene(FloatTensor features, FloatTensor queries, List<Box> anchors, List<Truth> truths) {
    public Scene {
        anchors = List.copyOf(anchors);
        truths = List.copyOf(truths);
        if (features.shape().dim(0) != anchors.size() || queries.shape().dim(0) != anchors.size()) {
            throw new IllegalArgumentException(
                    anchors.size() + " boxes for features " + features.shape() + " and queries " + queries.shape());
        }
    }

    /** The decoder's inputs for some scenes, all with as many queries. */
    public static Map<String, Tensor> inputs(List<Scene> scenes) {
        return Map.of(
                QueryDecoder.FEATURES, stacked(scenes, Scene::features),
                QueryDecoder.QUERIES, stacked(scenes, Scene::queries));
    }

    private static FloatTensor stacked(List<Scene> scenes, Function<Scene, FloatTensor> part) {
        Shape each = part.apply(scenes.getFirst()).shape();
        int size = Math.toIntExact(each.elements());
        float[] values = new float[Math.multiplyExact(scenes.size(), size)];
        for (int i = 0; i < scenes.size(); i++) {
            System.arraycopy(part.apply(scenes.get(i)).values(), 0, values, i * size, size);
        }
        List<Long> dims = new ArrayList<>(each.dims());
        dims.addFirst((long) scenes.size());
        return new FloatTensor(new Shape(dims), values);
    }
}
