package dev.adapt.train.detect;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Average precision at one threshold of IoU, {@code AP50} for 0.5: the mean, over the classes that have objects, of the area
 * under the curve of precision by recall. From the most certain on, a detection is right if an object of its class that no
 * earlier one has taken overlaps it by the threshold or more; it takes the one that overlaps it most. At each recall counts
 * the best precision at that recall or a larger one, at every point of the curve (PASCAL VOC's measure since 2010; COCO
 * samples the same curve at 101 points).
 */
public final class AveragePrecision {
    private AveragePrecision() {}

    private record Found(int image, Detection detection) {}

    /**
     * The measure of a set of images.
     *
     * @param detections of each image
     * @param truths of each image
     * @return 0 to 1; NaN where there are no objects at all
     */
    public static double of(List<List<Detection>> detections, List<List<Truth>> truths, double threshold) {
        if (detections.size() != truths.size()) {
            throw new IllegalArgumentException(detections.size() + " images for the truths of " + truths.size());
        }
        int[] labels = truths.stream()
                .flatMap(List::stream)
                .mapToInt(Truth::label)
                .distinct()
                .toArray();
        return IntStream.of(labels)
                .mapToDouble(label -> ofClass(label, detections, truths, threshold))
                .average()
                .orElse(Double.NaN);
    }

    private static double ofClass(
            int label, List<List<Detection>> detections, List<List<Truth>> truths, double threshold) {
        List<Found> found = new ArrayList<>();
        List<List<Truth>> left = new ArrayList<>();
        long objects = 0;
        for (int image = 0; image < truths.size(); image++) {
            int own = image;
            detections.get(image).stream()
                    .filter(detection -> detection.label() == label)
                    .forEach(detection -> found.add(new Found(own, detection)));
            List<Truth> ofLabel = new ArrayList<>(truths.get(image));
            ofLabel.removeIf(truth -> truth.label() != label);
            left.add(ofLabel);
            objects += ofLabel.size();
        }
        found.sort(Comparator.comparingDouble((Found each) -> each.detection().score())
                .reversed());
        boolean[] right = new boolean[found.size()];
        for (int i = 0; i < right.length; i++) {
            right[i] =
                    take(found.get(i).detection().box(), left.get(found.get(i).image()), threshold);
        }
        return area(right, objects);
    }

    /** Whether a box finds one of the objects that are left, which it then takes. */
    private static boolean take(Box box, List<Truth> left, double threshold) {
        Comparator<Truth> overlap =
                Comparator.comparingDouble(truth -> truth.box().iou(box));
        return left.stream()
                .max(overlap)
                .filter(truth -> truth.box().iou(box) >= threshold)
                .map(left::remove)
                .orElse(false);
    }

    private static double area(boolean[] right, long objects) {
        double[] precision = new double[right.length];
        int hits = 0;
        for (int i = 0; i < right.length; i++) {
            hits += right[i] ? 1 : 0;
            precision[i] = (double) hits / (i + 1);
        }
        double area = 0;
        double best = 0;
        for (int i = right.length - 1; i >= 0; i--) {
            best = Math.max(best, precision[i]);
            // recall rises by one object at each that is right
            area += right[i] ? best / objects : 0;
        }
        return area;
    }
}
