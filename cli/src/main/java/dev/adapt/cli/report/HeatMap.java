package dev.adapt.cli.report;

import dev.adapt.formats.UsageException;
import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import javax.imageio.ImageIO;

/**
 * Similarity matrix as a heat map. The diagonal is left grey. The template report/heatmap.jte draws it as SVG, in colours that
 * follow the light or dark scheme; the PNG is light.
 *
 * @param title what it shows
 * @param axis what rows and columns are
 * @param labels of the rows and columns, top to bottom and left to right
 * @param bottom where the scale of colours begins: one for all maps that are compared
 * @param top where it ends
 * @param note beneath
 */
@SuppressWarnings("ArrayRecordComponent")
record HeatMap(
        String title, String axis, List<String> labels, double[][] values, double bottom, double top, String note) {
    private static final int SIDE = 320;
    private static final int LEFT = 48;
    private static final int TOP = 34;
    private static final int WIDTH = LEFT + SIDE + 88;
    private static final int HEIGHT = TOP + SIDE + 66;
    private static final int INK = 0x59636e;
    private static final int TITLE_INK = 0x1b1f24;
    private static final int DIAGONAL = 0xd9dee4;

    /** How many cells a row may have for their numbers to fit. */
    private static final int NUMBERED = 12;

    /** Pixels of the PNG for each of the drawing. */
    private static final int SCALE = 2;

    /** The colour of the largest value on white; smaller ones are as much lighter. */
    private static final int DARKEST = 0x0b4fa3;

    /** The opacity of the smallest value, which is still told from the background. */
    private static final double FAINTEST = 0.04;

    /** What is drawn, in order. */
    sealed interface Mark {
        /**
         * A rectangle.
         *
         * @param share of the scale of colours; NaN on the diagonal
         */
        record Box(double x, double y, double width, double height, double share) implements Mark {}

        /**
         * A line of text.
         *
         * @param anchor the share of its width that lies left of x
         */
        record Text(double x, double y, double anchor, int size, Ink ink, String text) implements Mark {
            String anchored() {
                return anchor == 0 ? "start" : anchor == 1 ? "end" : "middle";
            }
        }
    }

    /** The colours of text, as classes of the style. */
    enum Ink {
        TITLE(TITLE_INK),
        SOFT(INK),
        ON_FAINT(TITLE_INK),
        ON_STRONG(0xffffff);

        private final int colour;

        Ink(int colour) {
            this.colour = colour;
        }

        String style() {
            return name().toLowerCase(Locale.ROOT).replace('_', '-');
        }
    }

    String viewBox() {
        return "0 0 " + WIDTH + " " + HEIGHT;
    }

    /** A number of pixels in SVG. */
    static String pixels(double number) {
        return String.format(Locale.ROOT, "%.2f", number);
    }

    /** A share of the scale as opacity, which lets the background through where values are small. */
    static String opacity(double share) {
        return String.format(Locale.ROOT, "%.3f", FAINTEST + (1 - FAINTEST) * Math.clamp(share, 0, 1));
    }

    private double share(double value) {
        return top > bottom ? (value - bottom) / (top - bottom) : 0;
    }

    List<Mark> marks() {
        List<Mark> marks = new ArrayList<>();
        marks.add(new Mark.Text(0, 16, 0, 15, Ink.TITLE, title));
        double cell = (double) SIDE / labels.size();
        int every = Math.ceilDiv(labels.size(), 24);
        for (int row = 0; row < labels.size(); row++) {
            double middle = (row + 0.5) * cell;
            if (row % every == 0) {
                String label = labels.get(row);
                marks.add(new Mark.Text(LEFT - 8, TOP + middle + 4, 1, 12, Ink.SOFT, label));
                marks.add(new Mark.Text(LEFT + middle, TOP + SIDE + 16, 0.5, 12, Ink.SOFT, label));
            }
            for (int column = 0; column < labels.size(); column++) {
                double share = row == column ? Double.NaN : share(values[row][column]);
                marks.add(new Mark.Box(LEFT + column * cell, TOP + row * cell, cell, cell, share));
                if (labels.size() <= NUMBERED && row != column) {
                    number(marks, LEFT + (column + 0.5) * cell, TOP + middle + 4, values[row][column]);
                }
            }
        }
        marks.add(new Mark.Text(LEFT + SIDE / 2.0, TOP + SIDE + 36, 0.5, 12, Ink.SOFT, axis));
        marks.add(new Mark.Text(LEFT - 8, TOP + SIDE + 16, 1, 12, Ink.SOFT, axis));
        marks.add(new Mark.Text(0, TOP + SIDE + 58, 0, 12, Ink.SOFT, note));
        scale(marks);
        return marks;
    }

    private void number(List<Mark> marks, double x, double y, double value) {
        Ink ink = share(value) > 0.55 ? Ink.ON_STRONG : Ink.ON_FAINT;
        // without the 0 before the point, three digits fit a twelfth of the side
        String number = String.format(Locale.ROOT, "%.3f", value).replaceFirst("^0", "");
        marks.add(new Mark.Text(x, y, 0.5, 10, ink, number));
    }

    private void scale(List<Mark> marks) {
        int steps = 62;
        double step = (double) SIDE / steps;
        for (int i = 0; i < steps; i++) {
            double share = 1 - (i + 0.5) / steps;
            marks.add(new Mark.Box(LEFT + SIDE + 18, TOP + i * step, 14, step, share));
        }
        for (int tick = 0; tick <= 4; tick++) {
            String label = String.format(Locale.ROOT, "%.3f", top - (top - bottom) * tick / 4);
            marks.add(new Mark.Text(LEFT + SIDE + 38, TOP + tick * SIDE / 4.0 + 4, 0, 12, Ink.SOFT, label));
        }
    }

    /** The darkest colour over white. */
    private static int colour(double share) {
        if (Double.isNaN(share)) {
            return DIAGONAL;
        }
        double opacity = FAINTEST + (1 - FAINTEST) * Math.clamp(share, 0, 1);
        int mixed = 0;
        for (int shift = 0; shift < 24; shift += 8) {
            int full = DARKEST >> shift & 0xff;
            mixed |= (int) Math.round(255 + opacity * (full - 255)) << shift;
        }
        return mixed;
    }

    /** The map as an SVG file. */
    String svg() {
        return new PageTemplate("report/heatmapfile").fragment(this);
    }

    /**
     * Writes the map as PNG.
     *
     * @throws UsageException if the system has no fonts to draw its text with
     */
    void writePng(Path path) throws IOException {
        BufferedImage image =
                new BufferedImage(SCALE * (WIDTH + 20), SCALE * (HEIGHT + 20), BufferedImage.TYPE_INT_RGB);
        Graphics2D canvas = image.createGraphics();
        canvas.setColor(Color.WHITE);
        canvas.fillRect(0, 0, image.getWidth(), image.getHeight());
        canvas.scale(SCALE, SCALE);
        canvas.translate(10, 10);
        canvas.setRenderingHint(RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
        canvas.setRenderingHint(RenderingHints.KEY_FRACTIONALMETRICS, RenderingHints.VALUE_FRACTIONALMETRICS_ON);
        try {
            marks().forEach(mark -> draw(canvas, mark));
        } catch (InternalError | NoClassDefFoundError | UnsatisfiedLinkError e) {
            throw new UsageException("the text of a PNG needs a font, and this system has none that Java finds; install"
                    + " fontconfig and a font, or give --no-png");
        } finally {
            canvas.dispose();
        }
        ImageIO.write(image, "png", path.toFile());
    }

    private static void draw(Graphics2D canvas, Mark mark) {
        switch (mark) {
            case Mark.Box box -> {
                canvas.setColor(new Color(colour(box.share())));
                int x = (int) Math.round(box.x());
                int y = (int) Math.round(box.y());
                canvas.fillRect(
                        x,
                        y,
                        (int) Math.round(box.x() + box.width()) - x,
                        (int) Math.round(box.y() + box.height()) - y);
            }
            case Mark.Text text -> {
                canvas.setColor(new Color(text.ink().colour));
                canvas.setFont(
                        new Font(Font.SANS_SERIF, text.ink() == Ink.TITLE ? Font.BOLD : Font.PLAIN, text.size()));
                double width = canvas.getFontMetrics().stringWidth(text.text());
                canvas.drawString(text.text(), (float) (text.x() - text.anchor() * width), (float) text.y());
            }
        }
    }
}
