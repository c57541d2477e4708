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
 * How alike each of some things is to each other, as SVG and as PNG: a square of cells from 0 to 1, whose diagonal, where each
 * meets itself, is left grey.
 *
 * @param title what it shows
 * @param axis what rows and columns are
 * @param labels of the rows and columns, top to bottom and left to right
 * @param top where the scale of colours ends: one for all maps that are compared
 * @param note beneath
 */
@SuppressWarnings("ArrayRecordComponent")
record HeatMap(String title, String axis, List<String> labels, double[][] values, double top, String note) {
    private static final int SIDE = 372;
    private static final int LEFT = 48;
    private static final int TOP = 34;
    private static final int WIDTH = LEFT + SIDE + 84;
    private static final int HEIGHT = TOP + SIDE + 66;
    private static final int INK = 0x59636e;
    private static final int TITLE_INK = 0x1b1f24;
    private static final int DIAGONAL = 0xd9dee4;

    /** How many cells a row may have for their numbers to fit. */
    private static final int NUMBERED = 12;

    /** Pixels of the PNG for each of the drawing. */
    private static final int SCALE = 2;

    /** Colours from 0 to 1, of rising darkness, so that the map also reads in grey: ColorBrewer's YlGnBu. */
    private static final int[] COLOURS = {
        0xffffd9, 0xedf8b1, 0xc7e9b4, 0x7fcdbb, 0x41b6c4, 0x1d91c0, 0x225ea8, 0x253494, 0x081d58
    };

    /** What is drawn, in order. */
    private sealed interface Mark {
        record Box(double x, double y, double width, double height, int colour) implements Mark {}

        record Text(double x, double y, double anchor, int size, boolean bold, int colour, String text)
                implements Mark {}
    }

    private List<Mark> marks() {
        List<Mark> marks = new ArrayList<>();
        marks.add(new Mark.Text(0, 16, 0, 15, true, TITLE_INK, title));
        double cell = (double) SIDE / labels.size();
        int every = Math.ceilDiv(labels.size(), 24);
        for (int row = 0; row < labels.size(); row++) {
            double middle = (row + 0.5) * cell;
            if (row % every == 0) {
                String label = labels.get(row);
                marks.add(new Mark.Text(LEFT - 8, TOP + middle + 4, 1, 12, false, INK, label));
                marks.add(new Mark.Text(LEFT + middle, TOP + SIDE + 16, 0.5, 12, false, INK, label));
            }
            for (int column = 0; column < labels.size(); column++) {
                int colour = row == column ? DIAGONAL : colour(values[row][column] / top);
                marks.add(new Mark.Box(LEFT + column * cell, TOP + row * cell, cell, cell, colour));
                if (labels.size() <= NUMBERED && row != column) {
                    number(marks, LEFT + (column + 0.5) * cell, TOP + middle + 4, values[row][column]);
                }
            }
        }
        marks.add(new Mark.Text(LEFT + SIDE / 2.0, TOP + SIDE + 36, 0.5, 12, false, INK, axis));
        marks.add(new Mark.Text(LEFT - 8, TOP + SIDE + 16, 1, 12, false, INK, axis));
        marks.add(new Mark.Text(0, TOP + SIDE + 58, 0, 12, false, INK, note));
        scale(marks);
        return marks;
    }

    private void number(List<Mark> marks, double x, double y, double value) {
        int ink = value > top / 2 ? 0xffffff : TITLE_INK;
        // without the 0 before the point, three digits fit a twelfth of the side
        String number = String.format(Locale.ROOT, "%.3f", value).replaceFirst("^0", "");
        marks.add(new Mark.Text(x, y, 0.5, 11, false, ink, number));
    }

    private void scale(List<Mark> marks) {
        int steps = 62;
        double step = (double) SIDE / steps;
        for (int i = 0; i < steps; i++) {
            double share = 1 - (i + 0.5) / steps;
            marks.add(new Mark.Box(LEFT + SIDE + 18, TOP + i * step, 14, step, colour(share)));
        }
        for (int tick = 0; tick <= 4; tick++) {
            String label = String.format(Locale.ROOT, "%.3f", top * (1 - tick / 4.0));
            marks.add(new Mark.Text(LEFT + SIDE + 38, TOP + tick * SIDE / 4.0 + 4, 0, 12, false, INK, label));
        }
    }

    /** Between the two colours on either side of a share of the scale. */
    private static int colour(double share) {
        double at = Math.clamp(share, 0, 1) * (COLOURS.length - 1);
        int below = Math.min((int) at, COLOURS.length - 2);
        int mixed = 0;
        for (int shift = 0; shift < 24; shift += 8) {
            int from = COLOURS[below] >> shift & 0xff;
            int to = COLOURS[below + 1] >> shift & 0xff;
            mixed |= (int) Math.round(from + (at - below) * (to - from)) << shift;
        }
        return mixed;
    }

    /** The map as an {@code <svg>} element that stands alone. */
    String svg() {
        StringBuilder svg = new StringBuilder(String.format(
                Locale.ROOT,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\""
                        + " font-family=\"system-ui, DejaVu Sans, sans-serif\">%n",
                WIDTH,
                HEIGHT,
                HtmlPage.escape(title)));
        for (Mark mark : marks()) {
            svg.append(
                    switch (mark) {
                        case Mark.Box box ->
                            String.format(
                                    Locale.ROOT,
                                    // a hair wider than the cell, or neighbours show a seam
                                    "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"#%06x\"/>%n",
                                    box.x(),
                                    box.y(),
                                    box.width() + 0.3,
                                    box.height() + 0.3,
                                    box.colour());
                        case Mark.Text text ->
                            String.format(
                                    Locale.ROOT,
                                    "<text x=\"%.2f\" y=\"%.2f\" text-anchor=\"%s\" style=\"font-size:%dpx;fill:#%06x\""
                                            + " font-weight=\"%s\">%s</text>%n",
                                    text.x(),
                                    text.y(),
                                    text.anchor() == 0 ? "start" : text.anchor() == 1 ? "end" : "middle",
                                    text.size(),
                                    text.colour(),
                                    text.bold() ? "bold" : "normal",
                                    HtmlPage.escape(text.text()));
                    });
        }
        return svg.append("</svg>\n").toString();
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
                canvas.setColor(new Color(box.colour()));
                int x = (int) Math.round(box.x());
                int y = (int) Math.round(box.y());
                canvas.fillRect(
                        x,
                        y,
                        (int) Math.round(box.x() + box.width()) - x,
                        (int) Math.round(box.y() + box.height()) - y);
            }
            case Mark.Text text -> {
                canvas.setColor(new Color(text.colour()));
                canvas.setFont(new Font(Font.SANS_SERIF, text.bold() ? Font.BOLD : Font.PLAIN, text.size()));
                double width = canvas.getFontMetrics().stringWidth(text.text());
                canvas.drawString(text.text(), (float) (text.x() - text.anchor() * width), (float) text.y());
            }
        }
    }
}
