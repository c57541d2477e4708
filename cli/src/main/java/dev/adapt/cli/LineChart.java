package dev.adapt.cli;

import java.util.List;
import java.util.Locale;
import java.util.function.DoubleUnaryOperator;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** Curves over a common pair of axes, as an SVG that takes its colours from the page's CSS. */
record LineChart(String title, String xLabel, String yLabel, List<Series> series) {
    /**
     * One curve.
     *
     * @param style CSS class of the curve, its dots and its legend
     * @param dots whether to mark its points
     */
    record Series(String name, String style, List<Point> points, boolean dots) {}

    /** One point of a curve. */
    record Point(double x, double y) {}

    private static final int WIDTH = 640;
    private static final int HEIGHT = 320;
    private static final int LEFT = 56;
    private static final int RIGHT = 16;
    private static final int TOP = 48;
    private static final int BOTTOM = 44;

    /** The chart as an {@code <svg>} element. */
    String svg() {
        Axis x = Axis.over(series.stream()
                .flatMap(own -> own.points().stream())
                .mapToDouble(Point::x)
                .toArray());
        Axis y = Axis.over(series.stream()
                .flatMap(own -> own.points().stream())
                .mapToDouble(Point::y)
                .toArray());
        DoubleUnaryOperator toX = value -> LEFT + x.fraction(value) * (WIDTH - LEFT - RIGHT);
        DoubleUnaryOperator toY = value -> HEIGHT - BOTTOM - y.fraction(value) * (HEIGHT - TOP - BOTTOM);
        StringBuilder svg = new StringBuilder();
        add(svg, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">", WIDTH, HEIGHT, title);
        add(svg, "<text class=\"title\" x=\"%d\" y=\"18\">%s</text>", LEFT, title);
        for (double tick : y.ticks()) {
            double at = toY.applyAsDouble(tick);
            add(svg, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, WIDTH - RIGHT, at, at);
            add(
                    svg,
                    "<text class=\"tick\" text-anchor=\"end\" x=\"%d\" y=\"%.1f\">%s</text>",
                    LEFT - 8,
                    at + 4,
                    y.label(tick));
        }
        for (double tick : x.ticks()) {
            add(
                    svg,
                    "<text class=\"tick\" text-anchor=\"middle\" x=\"%.1f\" y=\"%d\">%s</text>",
                    toX.applyAsDouble(tick),
                    HEIGHT - BOTTOM + 18,
                    x.label(tick));
        }
        add(
                svg,
                "<text class=\"tick\" text-anchor=\"middle\" x=\"%d\" y=\"%d\">%s</text>",
                (LEFT + WIDTH - RIGHT) / 2,
                HEIGHT - 6,
                xLabel);
        add(svg, "<text class=\"tick\" x=\"%d\" y=\"%d\">%s</text>", LEFT, TOP - 10, yLabel);
        int legend = WIDTH - RIGHT;
        for (Series own : series.reversed()) {
            add(
                    svg,
                    "<text class=\"legend %s\" text-anchor=\"end\" x=\"%d\" y=\"%d\">%s</text>",
                    own.style(),
                    legend,
                    TOP - 10,
                    own.name());
            legend -= 16 + 8 * own.name().length();
        }
        series.forEach(own -> curve(svg, own, toX, toY));
        return svg.append("</svg>").toString();
    }

    private static void curve(StringBuilder svg, Series own, DoubleUnaryOperator toX, DoubleUnaryOperator toY) {
        String points = own.points().stream()
                .map(point -> String.format(
                        Locale.ROOT, "%.1f,%.1f", toX.applyAsDouble(point.x()), toY.applyAsDouble(point.y())))
                .collect(Collectors.joining(" "));
        add(svg, "<polyline class=\"curve %s\" points=\"%s\"/>", own.style(), points);
        if (own.dots()) {
            own.points()
                    .forEach(point -> add(
                            svg,
                            "<circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>",
                            own.style(),
                            toX.applyAsDouble(point.x()),
                            toY.applyAsDouble(point.y())));
        }
    }

    @SuppressWarnings("AnnotateFormatMethod") // would cost a dependency on annotations for one private method
    private static void add(StringBuilder svg, String format, Object... arguments) {
        svg.append(String.format(Locale.ROOT, format, arguments)).append('\n');
    }

    /** A range of values with round ticks. */
    private record Axis(double low, double high, double step) {
        static Axis over(double[] values) {
            double min = IntStream.range(0, values.length)
                    .mapToDouble(i -> values[i])
                    .min()
                    .orElse(0);
            double max = IntStream.range(0, values.length)
                    .mapToDouble(i -> values[i])
                    .max()
                    .orElse(1);
            double span = max > min ? max - min : 1;
            double raw = span / 5;
            double power = Math.pow(10, Math.floor(Math.log10(raw)));
            double step = power * (raw / power > 5 ? 10 : raw / power > 2 ? 5 : raw / power > 1 ? 2 : 1);
            return new Axis(Math.floor(min / step) * step, Math.ceil(max / step) * step, step);
        }

        double fraction(double value) {
            return high == low ? 0 : (value - low) / (high - low);
        }

        double[] ticks() {
            int count = (int) Math.round((high - low) / step);
            return IntStream.rangeClosed(0, count)
                    .mapToDouble(i -> low + i * step)
                    .toArray();
        }

        String label(double tick) {
            int digits = Math.max(0, (int) Math.ceil(-Math.log10(step)));
            return String.format(Locale.ROOT, "%." + digits + "f", tick);
        }
    }
}
