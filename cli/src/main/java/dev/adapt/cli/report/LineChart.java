package dev.adapt.cli.report;

import java.util.Arrays;
import java.util.DoubleSummaryStatistics;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.function.DoubleUnaryOperator;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import java.util.stream.LongStream;

/** Curves over a common pair of axes, as an SVG that takes its colours from the page's CSS. */
public record LineChart(String title, String xLabel, String yLabel, List<Series> series) {
    /**
     * One curve.
     *
     * @param name in the legend, once for all curves of this name
     * @param style CSS classes of the curve and its dots, the first also of the legend
     * @param dots whether to mark its points
     * @param ring the point to draw a ring around
     */
    public record Series(String name, String style, List<Point> points, boolean dots, Optional<Point> ring) {
        public Series(String name, String style, List<Point> points) {
            this(name, style, points, false, Optional.empty());
        }
    }

    /** One point of a curve. */
    public record Point(double x, double y) {}

    // about the pixels that a chart gets on a page, so that text keeps its size
    private static final int WIDTH = 460;
    private static final int HEIGHT = 300;
    private static final int LEFT = 44;
    private static final int RIGHT = 12;
    private static final int TOP = 56;
    private static final int BOTTOM = 44;

    /** The chart as an {@code <svg>} element. */
    public String svg() {
        Axis x = Axis.from(values(Point::x));
        Axis y = Axis.from(values(Point::y)).rounded();
        DoubleUnaryOperator toX = value -> LEFT + x.fraction(value) * (WIDTH - LEFT - RIGHT);
        DoubleUnaryOperator toY = value -> HEIGHT - BOTTOM - y.fraction(value) * (HEIGHT - TOP - BOTTOM);
        StringBuilder svg = new StringBuilder();
        add(svg, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">", WIDTH, HEIGHT, title);
        add(svg, "<text class=\"title\" x=\"0\" y=\"16\">%s</text>", title);
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
        add(svg, "<text class=\"tick\" x=\"0\" y=\"%d\">%s</text>", TOP - 20, yLabel);
        legend(svg);
        series.forEach(own -> curve(svg, own, toX, toY));
        return svg.append("</svg>").toString();
    }

    private double[] values(ToDoubleFunction<Point> coordinate) {
        return series.stream()
                .flatMap(own -> own.points().stream())
                .mapToDouble(coordinate)
                .toArray();
    }

    private void legend(StringBuilder svg) {
        SequencedMap<String, String> entries = new LinkedHashMap<>();
        series.forEach(own -> entries.putIfAbsent(own.name(), own.style().split(" ", 2)[0]));
        int right = WIDTH - RIGHT;
        for (Map.Entry<String, String> entry : entries.reversed().entrySet()) {
            add(
                    svg,
                    "<text class=\"legend %s\" text-anchor=\"end\" x=\"%d\" y=\"16\">%s</text>",
                    entry.getValue(),
                    right,
                    entry.getKey());
            right -= 14 + 8 * entry.getKey().length();
        }
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
                            "<circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"><title>%s: %.3g</title></circle>",
                            own.style(),
                            toX.applyAsDouble(point.x()),
                            toY.applyAsDouble(point.y()),
                            own.name(),
                            point.y()));
        }
        own.ring()
                .ifPresent(point -> add(
                        svg,
                        "<circle class=\"ring %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"7\"/>",
                        own.style(),
                        toX.applyAsDouble(point.x()),
                        toY.applyAsDouble(point.y())));
    }

    @SuppressWarnings("AnnotateFormatMethod") // would cost a dependency on annotations for one private method
    private static void add(StringBuilder svg, String format, Object... arguments) {
        svg.append(String.format(Locale.ROOT, format, arguments)).append('\n');
    }

    /** A range of values with ticks at round numbers. */
    private record Axis(double low, double high, double step) {
        static Axis from(double[] values) {
            DoubleSummaryStatistics range = Arrays.stream(values).summaryStatistics();
            double span = range.getMax() > range.getMin() ? range.getMax() - range.getMin() : 1;
            double raw = span / 5;
            double power = Math.pow(10, Math.floor(Math.log10(raw)));
            double step = power * (raw / power > 5 ? 10 : raw / power > 2 ? 5 : raw / power > 1 ? 2 : 1);
            return new Axis(range.getMin(), range.getMin() + span, step);
        }

        /** This axis, made longer to begin and end on a tick. */
        Axis rounded() {
            return new Axis(Math.floor(low / step) * step, Math.ceil(high / step) * step, step);
        }

        double fraction(double value) {
            return (value - low) / (high - low);
        }

        double[] ticks() {
            long first = (long) Math.ceil(low / step - 1e-9);
            long last = (long) Math.floor(high / step + 1e-9);
            return LongStream.rangeClosed(first, last)
                    .mapToDouble(i -> i * step)
                    .toArray();
        }

        String label(double tick) {
            int digits = Math.max(0, (int) Math.ceil(-Math.log10(step)));
            return String.format(Locale.ROOT, "%." + digits + "f", tick);
        }
    }
}
