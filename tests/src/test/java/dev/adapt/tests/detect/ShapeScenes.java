package dev.adapt.tests.detect;

import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.train.detect.Box;
import dev.adapt.train.detect.Scene;
import dev.adapt.train.detect.Truth;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/**
 * Images of 32 × 32 with one to three discs, squares and triangles, as a decoder of queries sees them. The boxes of the
 * queries are a fixed grid of 5 × 5; a query's features are sampled at 6 × 6 places in and around its box, from a pyramid
 * that is fixed too: at two scales, brightness, contrast, and the slope in six directions. A query begins as the sines and
 * cosines of its place.
 */
public final class ShapeScenes {
    /** What the classes are called. */
    public static final List<String> LABELS = List.of("disc", "square", "triangle");

    /** The scales of the pyramid. */
    public static final int GROUPS = 2;

    /** What is known of a place at one scale. */
    public static final int CHANNELS = 8;

    private static final int ROW = 6;

    /** The places that a query sees. */
    public static final int POINTS = ROW * ROW;

    private static final int SIDE = 32;
    private static final int GRID = 5;
    private static final double ANCHOR = 0.36;

    /** Features are sampled this much beyond a box, for objects larger than it. */
    private static final double REACH = 1.3;

    private static final List<Canvas.Figure> FIGURES =
            List.of((x, y) -> x * x + y * y <= 1, (x, y) -> true, (x, y) -> y >= 2 * Math.abs(x) - 1);

    private ShapeScenes() {}

    /**
     * Draws images.
     *
     * @param hidden the width of a query, a multiple of 4
     */
    public static List<Scene> draw(int count, int hidden, long seed) {
        Random random = new Random(seed);
        List<Scene> scenes = new ArrayList<>();
        FloatTensor queries = queries(hidden);
        for (int i = 0; i < count; i++) {
            Canvas canvas = Canvas.noise(SIDE, random);
            List<Truth> truths = new ArrayList<>();
            int wanted = 1 + random.nextInt(3);
            while (truths.size() < wanted) {
                place(canvas, truths, random);
            }
            scenes.add(new Scene(features(canvas), queries, anchors(), truths));
        }
        return scenes;
    }

    /** Adds an object, unless it would touch another. */
    private static void place(Canvas canvas, List<Truth> truths, Random random) {
        double width = 0.25 + 0.2 * random.nextDouble();
        double height = width * (0.8 + 0.4 * random.nextDouble());
        double x = width / 2 + (1 - width) * random.nextDouble();
        double y = height / 2 + (1 - height) * random.nextDouble();
        int label = random.nextInt(LABELS.size());
        Box box = new Box(x, y, width, height);
        if (truths.stream().allMatch(other -> other.box().iou(box) == 0)) {
            truths.add(new Truth(label, box));
            float value = 0.4f + 0.5f * random.nextFloat();
            canvas.paint(FIGURES.get(label), x * SIDE, y * SIDE, width * SIDE, height * SIDE, value);
        }
    }

    private static List<Box> anchors() {
        List<Box> anchors = new ArrayList<>();
        for (int row = 0; row < GRID; row++) {
            for (int column = 0; column < GRID; column++) {
                anchors.add(new Box((column + 0.5) / GRID, (row + 0.5) / GRID, ANCHOR, ANCHOR));
            }
        }
        return anchors;
    }

    /** [queries, hidden]. */
    private static FloatTensor queries(int hidden) {
        List<Box> anchors = anchors();
        float[] values = new float[anchors.size() * hidden];
        for (int i = 0; i < values.length; i++) {
            Box anchor = anchors.get(i / hidden);
            int wave = i % hidden / 4;
            double place = (i % 2 == 0 ? anchor.x() : anchor.y()) * Math.PI * (wave + 1) / 2;
            values[i] = (float) (i % 4 < 2 ? Math.sin(place) : Math.cos(place));
        }
        return new FloatTensor(Shape.of(anchors.size(), hidden), values);
    }

    /** [queries, groups, points, channels]. */
    private static FloatTensor features(Canvas canvas) {
        List<Box> anchors = anchors();
        Shape shape = Shape.of(anchors.size(), GROUPS, POINTS, CHANNELS);
        float[] values = new float[Math.toIntExact(shape.elements())];
        List<Canvas> levels = List.of(canvas, canvas.blurred(1));
        Canvas ground = canvas.blurred(5);
        int at = 0;
        for (Box anchor : anchors) {
            for (int scale = 0; scale < GROUPS; scale++) {
                for (int point = 0; point < POINTS; point++) {
                    int row = point / ROW;
                    double u = (point % ROW + 0.5) / ROW - 0.5;
                    double v = (row + 0.5) / ROW - 0.5;
                    double x = SIDE * (anchor.x() + REACH * u * anchor.width());
                    double y = SIDE * (anchor.y() + REACH * v * anchor.height());
                    see(levels.get(scale), ground, x, y, 0.7 + scale, values, at);
                    at += CHANNELS;
                }
            }
        }
        return new FloatTensor(shape, values);
    }

    /** The channels of one place. */
    private static void see(Canvas level, Canvas ground, double x, double y, double reach, float[] into, int at) {
        double here = level.at(x, y);
        into[at] = (float) here;
        into[at + 1] = (float) (here - ground.at(x, y));
        double right = level.at(x + reach, y) - level.at(x - reach, y);
        double down = level.at(x, y + reach) - level.at(x, y - reach);
        for (int i = 2; i < CHANNELS; i++) {
            double angle = 2 * Math.PI * (i - 2) / (CHANNELS - 2);
            into[at + i] = (float) Math.max(0, right * Math.cos(angle) + down * Math.sin(angle));
        }
    }
}
