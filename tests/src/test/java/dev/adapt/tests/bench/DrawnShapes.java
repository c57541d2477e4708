package dev.adapt.tests.bench;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.Polygon;
import java.awt.RenderingHints;
import java.awt.geom.AffineTransform;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;

/** Outlines of regular polygons, stars and a circle on noise: images that a small model learns to tell apart in minutes. */
final class DrawnShapes {
    private static final int EDGE = 28;
    private static final int CORNERS_FROM = 3;
    private static final int POLYGONS = 4;
    private static final int CLASSES = 2 * POLYGONS;
    private static final int LABELS_MAGIC = 0x801;
    private static final int IMAGES_MAGIC = 0x803;

    private DrawnShapes() {}

    /**
     * Writes images and their labels as IDX files.
     *
     * @return the file of images
     */
    static Path write(Path folder, String name, int count, long seed) throws IOException {
        Random random = new Random(seed);
        ByteBuffer images = ByteBuffer.allocate(16 + count * EDGE * EDGE);
        images.putInt(IMAGES_MAGIC).putInt(count).putInt(EDGE).putInt(EDGE);
        ByteBuffer labels = ByteBuffer.allocate(8 + count);
        labels.putInt(LABELS_MAGIC).putInt(count);
        for (int i = 0; i < count; i++) {
            draw(i % CLASSES, random, images);
            labels.put((byte) (i % CLASSES));
        }
        Files.write(folder.resolve(name + "-labels-idx1-ubyte"), labels.array());
        return Files.write(folder.resolve(name + "-images-idx3-ubyte"), images.array());
    }

    private static void draw(int kind, Random random, ByteBuffer into) {
        BufferedImage image = new BufferedImage(EDGE, EDGE, BufferedImage.TYPE_BYTE_GRAY);
        Graphics2D canvas = image.createGraphics();
        canvas.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON);
        double radius = 7 + 4 * random.nextDouble();
        AffineTransform place = AffineTransform.getTranslateInstance(
                radius + 1 + random.nextDouble() * (EDGE - 2 * radius - 2),
                radius + 1 + random.nextDouble() * (EDGE - 2 * radius - 2));
        place.rotate(2 * Math.PI * random.nextDouble());
        canvas.transform(place);
        canvas.setStroke(new BasicStroke(1.5f));
        int light = 150 + random.nextInt(106);
        canvas.setColor(new Color(light, light, light));
        canvas.draw(outline(kind, radius));
        canvas.dispose();
        for (int pixel = 0; pixel < EDGE * EDGE; pixel++) {
            int own = image.getRaster().getSample(pixel % EDGE, pixel / EDGE, 0);
            into.put((byte) Math.clamp(own + (long) (25 * random.nextGaussian()), 0, 255));
        }
    }

    /** A regular polygon of 3 to 6 corners, or a star of as many. */
    private static Polygon outline(int kind, double radius) {
        boolean star = kind >= POLYGONS;
        int corners = (CORNERS_FROM + kind % POLYGONS) * (star ? 2 : 1);
        Polygon outline = new Polygon();
        for (int i = 0; i < corners; i++) {
            double reach = star && i % 2 == 1 ? 0.4 * radius : radius;
            double angle = 2 * Math.PI * i / corners;
            outline.addPoint((int) Math.round(reach * Math.cos(angle)), (int) Math.round(reach * Math.sin(angle)));
        }
        return outline;
    }
}
