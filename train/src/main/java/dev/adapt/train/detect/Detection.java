package dev.adapt.train.detect;

import dev.adapt.formats.tensor.FloatTensor;
import java.util.ArrayList;
import java.util.List;

/**
 * An object that a detector says is in an image.
 *
 * @param score 0 to 1
 */
public record Detection(int label, Box box, double score) {
    /**
     * All that a decoder's predictions say, each query once for every class.
     *
     * @param predictions [batch, queries, classes + 4]
     * @param scenes those of the batch
     * @return for each scene its detections
     */
    public static List<List<Detection>> of(FloatTensor predictions, List<Scene> scenes) {
        int width = (int) predictions.shape().dim(2);
        int classes = width - Box.NUMBERS;
        float[] values = predictions.values();
        List<List<Detection>> all = new ArrayList<>();
        int at = 0;
        for (Scene scene : scenes) {
            List<Detection> detections = new ArrayList<>();
            for (Box anchor : scene.anchors()) {
                int step = at + classes;
                Box box = anchor.moved(values[step], values[step + 1], values[step + 2], values[step + 3]);
                for (int label = 0; label < classes; label++) {
                    detections.add(new Detection(label, box, 1 / (1 + Math.exp(-values[at + label]))));
                }
                at += width;
            }
            all.add(detections);
        }
        return all;
    }
}
