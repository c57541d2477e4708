package dev.adapt.train.detect;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("Average precision")
class AveragePrecisionTest {
    private static final Box LEFT = new Box(0.2, 0.5, 0.2, 0.2);
    private static final Box RIGHT = new Box(0.8, 0.5, 0.2, 0.2);

    private static double of(List<Detection> detections, List<Truth> truths) {
        return AveragePrecision.of(List.of(detections), List.of(truths), 0.5);
    }

    @Test
    @DisplayName("is 1 where each object is found first, 0 where nothing is found, and has no value without objects")
    void ends() {
        List<Truth> both = List.of(new Truth(0, LEFT), new Truth(0, RIGHT));
        assertEquals(1, of(List.of(new Detection(0, RIGHT, 0.3), new Detection(0, LEFT, 0.9)), both), 1e-12);
        assertEquals(0, of(List.of(), both), 1e-12);
        assertEquals(0, of(List.of(new Detection(1, LEFT, 0.9)), both), 1e-12);
        assertEquals(Double.NaN, of(List.of(new Detection(0, LEFT, 0.9)), List.of()));
    }

    /** Right, wrong, right: precisions 1, 1/2, 2/3 at recalls 1/2, 1/2, 1. The area is 1/2·1 + 1/2·2/3. */
    @Test
    @DisplayName("is the area under precision by recall")
    void area() {
        List<Detection> found = List.of(
                new Detection(0, LEFT, 0.9),
                new Detection(0, new Box(0.5, 0.1, 0.1, 0.1), 0.8),
                new Detection(0, RIGHT, 0.7));
        assertEquals(5.0 / 6, of(found, List.of(new Truth(0, LEFT), new Truth(0, RIGHT))), 1e-12);
    }

    /** Wrong, then right twice: precisions 0, 1/2, 2/3. At recall 1/2 the best at that recall or larger is 2/3. */
    @Test
    @DisplayName("counts the best precision at a recall or a larger one")
    void envelope() {
        List<Detection> found = List.of(
                new Detection(0, new Box(0.5, 0.1, 0.1, 0.1), 0.9),
                new Detection(0, LEFT, 0.8),
                new Detection(0, RIGHT, 0.7));
        assertEquals(2.0 / 3, of(found, List.of(new Truth(0, LEFT), new Truth(0, RIGHT))), 1e-12);
    }

    /** The second detection of an object is wrong: 1/2·1 + 1/2·2/3. Of two classes, one unfound, the mean is half. */
    @Test
    @DisplayName("counts an object once, and is the mean over classes")
    void onceAndMean() {
        List<Detection> found =
                List.of(new Detection(0, LEFT, 0.9), new Detection(0, LEFT, 0.8), new Detection(0, RIGHT, 0.7));
        List<Truth> truths = List.of(new Truth(0, LEFT), new Truth(0, RIGHT));
        assertEquals(5.0 / 6, of(found, truths), 1e-12);
        assertEquals(
                5.0 / 12,
                of(found, List.of(truths.get(0), truths.get(1), new Truth(2, new Box(0.5, 0.5, 0.1, 0.1)))),
                1e-12);
    }

    /** Moved by a third of its width, IoU is (2/3)/(4/3) = 1/2; by a little more it is less. */
    @Test
    @DisplayName("wants the threshold or more, in the same image")
    void threshold() {
        List<Truth> truths = List.of(new Truth(0, LEFT));
        assertEquals(1, of(List.of(new Detection(0, new Box(0.2 + 0.066, 0.5, 0.2, 0.2), 1)), truths), 1e-12);
        assertEquals(0, of(List.of(new Detection(0, new Box(0.2 + 0.067, 0.5, 0.2, 0.2), 1)), truths), 1e-12);
        List<List<Detection>> elsewhere = List.of(List.of(), List.of(new Detection(0, LEFT, 1)));
        assertEquals(0, AveragePrecision.of(elsewhere, List.of(truths, List.of()), 0.5), 1e-12);
    }

    @Test
    @DisplayName("rests on IoU and GIoU as defined")
    void overlaps() {
        Box one = new Box(0.5, 0.5, 1, 1);
        Box half = new Box(0.75, 0.5, 0.5, 1);
        Box away = new Box(2.5, 0.5, 1, 1);
        assertEquals(0.5, one.iou(half), 1e-12);
        assertEquals(0.5, one.giou(half), 1e-12);
        assertEquals(0, one.iou(away), 1e-12);
        // the box around both is 3 wide, a third of it covered by neither
        assertEquals(-1.0 / 3, one.giou(away), 1e-12);
        assertEquals(new Box(0.6, 0.5, 1, 2), one.moved(0.1, 0, 0, Math.log(2)));
        assertEquals(0.75, one.distance(half), 1e-12);
    }
}
