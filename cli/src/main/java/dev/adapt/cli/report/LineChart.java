package dev.adapt.cli.report;

import java.util.Arrays;
import java.util.DoubleSummaryStatistics;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.function.DoubleUnaryOperator;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;
import java.util.stream.LongStream;

/** Curves over a common pair of axes. The template report/chart.jte draws them, in colours of the page's style. */
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
    private static final int HEIGHT = 250;
    private static final int LEFT = 52;
    private static final int RIGHT = 16;
    private static final int TOP = 10;
    private static final int BOTTOM = 48;

    /** A line of the grid, and its label. */
    record Tick(String at, String label) {}

    /** A curve as it is drawn: the points of a polyline, and the marks on it. */
    record Curve(String style, String points, List<Mark> dots, Optional<Mark> ring) {}

    /** A mark on a curve, and what it says when the pointer rests on it. */
    record Mark(String x, String y, String text) {}

    /** What the template draws. */
    record Drawing(
            SequencedMap<String, String> legend, List<Tick> horizontal, List<Tick> vertical, List<Curve> curves) {}

    Drawing drawing() {
        Axis x = Axis.from(values(Point::x));
        Axis y = Axis.from(values(Point::y)).rounded();
        DoubleUnaryOperator toX = value -> LEFT + x.fraction(value) * (WIDTH - LEFT - RIGHT);
        DoubleUnaryOperator toY = value -> HEIGHT - BOTTOM - y.fraction(value) * (HEIGHT - TOP - BOTTOM);
        SequencedMap<String, String> legend = new LinkedHashMap<>();
        series.forEach(own -> legend.putIfAbsent(own.name(), own.style().split(" ", 2)[0]));
        return new Drawing(
                legend,
                ticks(y, toY),
                ticks(x, toX),
                series.stream().map(own -> curve(own, toX, toY)).toList());
    }

    private static List<Tick> ticks(Axis axis, DoubleUnaryOperator place) {
        return Arrays.stream(axis.ticks())
                .mapToObj(tick -> new Tick(pixels(place.applyAsDouble(tick)), axis.label(tick)))
                .toList();
    }

    private double[] values(ToDoubleFunction<Point> coordinate) {
        return series.stream()
                .flatMap(own -> own.points().stream())
                .mapToDouble(coordinate)
                .toArray();
    }

    private static Curve curve(Series own, DoubleUnaryOperator toX, DoubleUnaryOperator toY) {
        List<Mark> marks = own.points().stream()
                .map(point -> new Mark(
                        pixels(toX.applyAsDouble(point.x())),
                        pixels(toY.applyAsDouble(point.y())),
                        String.format(Locale.ROOT, "%s: %.3g", own.name(), point.y())))
                .toList();
        String points = marks.stream().map(mark -> mark.x() + "," + mark.y()).collect(Collectors.joining(" "));
        return new Curve(
                own.style(),
                points,
                own.dots() ? marks : List.of(),
                own.ring().map(own.points()::indexOf).filter(at -> at >= 0).map(marks::get));
    }

    private static String pixels(double at) {
        return String.format(Locale.ROOT, "%.1f", at);
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
