package dev.adapt.cli.demo;

import dev.adapt.cli.demo.DevScores.Mistake;
import dev.adapt.cli.report.LineChart;
import dev.adapt.cli.report.LineChart.Point;
import dev.adapt.cli.report.LineChart.Series;
import dev.adapt.cli.report.PageTemplate;
import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.Release;
import dev.adapt.train.predict.Evaluation;
import dev.adapt.verify.suite.Environment;
import java.io.IOException;
import java.time.LocalDate;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * The demo's {@code report.html}, filled in by {@code src/main/jte/demo/demo.jte}.
 *
 * @param subtitle what ran, on what
 * @param examples a text of the data for each label
 * @param settings of training, which both methods share, in words
 * @param baseBytes of the base's weights
 * @param commands what a user would run next
 */
record DemoReport(
        String subtitle,
        Map<String, String> examples,
        String settings,
        List<DemoResult> results,
        long baseBytes,
        String commands) {
    private static final int SMOOTHING = 10;
    private static final int WORST = 10;

    String html() throws IOException {
        return new PageTemplate("demo/demo").page("adapt demo: " + names() + " on all-MiniLM-L6-v2", this);
    }

    /** The methods that are compared. */
    String names() {
        return results.stream().map(DemoResult::name).collect(Collectors.joining(" and "));
    }

    /** Whether every form of every model agrees. */
    boolean passed() {
        return results.stream().allMatch(result -> result.report().passed());
    }

    DemoResult first() {
        return results.getFirst();
    }

    static String interval(DevScores scores) {
        return percent(scores.interval().getFirst()) + " to "
                + percent(scores.interval().getLast());
    }

    /** The adapter's size as a share of the base's. */
    String share(DemoResult result) {
        return String.format(Locale.ROOT, "%.2f%%", 100.0 * result.adapterBytes() / baseBytes);
    }

    static String bytes(long count) {
        return new Bytes(count).toString();
    }

    static String milliseconds(double time) {
        return String.format(Locale.ROOT, "%.2f ms", time);
    }

    /** The merged model's latency over the base's. */
    static String slower(DevScores scores) {
        return String.format(
                Locale.ROOT, "%.2f ×", scores.merged().median() / scores.base().median());
    }

    /** A row of the comparison: a figure of each method. */
    record Row(String heading, List<String> cells) {}

    List<Row> rows() {
        return List.of(
                row("Trained parameters of the adapter", result -> number(result.trainedParameters())),
                row("Trained parameters of the head", result -> number(result.headParameters())),
                row("Adapter file, head included", result -> bytes(result.adapterBytes())),
                row("Dev accuracy before training", result -> percent(result.before())),
                row("Dev accuracy after training", result -> percent(result.after())),
                row(
                        "Peak learning rate of adapter, head",
                        result -> rate(result.learningRate()) + ", " + rate(result.headLearningRate())),
                row("Epoch kept", result -> result.best() + " of " + result.epochs()),
                row("Training time", result -> String.format(Locale.ROOT, "%.0f s", result.trainSeconds())),
                row(
                        "Training speed, examples/s",
                        result -> String.format(Locale.ROOT, "%.0f", result.examplesPerSecond())),
                row("Merge time", result -> String.format(Locale.ROOT, "%.2f s", result.mergeSeconds())),
                row(
                        "Largest logit difference of any two forms",
                        result -> difference(result.report().maxAbsolute())));
    }

    private Row row(String heading, Function<DemoResult, String> cell) {
        return new Row(heading, results.stream().map(cell).toList());
    }

    /** The mistakes that are shown. */
    static List<Mistake> worst(DemoResult result) {
        return result.dev().mistakes().stream().limit(WORST).toList();
    }

    static String heading(DemoResult result) {
        int all = result.dev().mistakes().size();
        return all > WORST
                ? WORST + " worst of " + all + " mistakes"
                : all == 1 ? "The only mistake" : "All " + all + " mistakes";
    }

    /** A cell of a confusion matrix: a share of the row as opacity. */
    static String opacity(Evaluation.OfClass row, long count) {
        return String.format(Locale.ROOT, "%.2f", (double) count / Math.max(1, row.examples()));
    }

    static boolean isStrong(Evaluation.OfClass row, long count) {
        return 2 * count > row.examples();
    }

    LineChart losses() {
        List<Series> curves = new ArrayList<>();
        for (DemoResult result : results) {
            curves.add(new Series(result.name(), result.style(), trained(smoothed(result))));
            curves.add(new Series(result.name(), result.style() + " dev", trained(byEpoch(result.devLosses(), 1))));
        }
        return new LineChart(
                "Loss",
                "epoch",
                "cross-entropy; solid: training, " + SMOOTHING + "-step mean; dashed: dev set",
                curves);
    }

    /** Each step at its share of an epoch, so that runs with other batch sizes can be compared. */
    private static List<Point> smoothed(DemoResult result) {
        List<Double> losses = result.losses();
        double steps = (double) losses.size() / result.epochs();
        List<Point> points = new ArrayList<>();
        for (int step = 1; step <= losses.size(); step++) {
            double mean = losses.subList(Math.max(0, step - SMOOTHING), step).stream()
                    .mapToDouble(Double::doubleValue)
                    .average()
                    .orElse(0);
            points.add(new Point(step / steps, mean));
        }
        return points;
    }

    private static List<Point> byEpoch(List<Double> values, double unit) {
        return IntStream.range(0, values.size())
                .mapToObj(epoch -> new Point(epoch, values.get(epoch) / unit))
                .toList();
    }

    LineChart accuracies() {
        List<Series> curves = new ArrayList<>();
        for (DemoResult result : results) {
            List<Point> points = byEpoch(result.accuracies(), 0.01);
            curves.add(new Series(
                    result.name(), result.style(), trained(points), true, Optional.of(points.get(result.best()))));
        }
        return new LineChart("Dev accuracy", "epoch", "% of requests classified right; ring: the epoch kept", curves);
    }

    /** From the end of the first epoch on: before, all curves fall alike, and would hide where they differ. */
    private static List<Point> trained(List<Point> points) {
        return points.stream().filter(point -> point.x() >= 1).toList();
    }

    /** The adapter's size over the largest one's, in percent. */
    String bar(DemoResult result) {
        long largest =
                results.stream().mapToLong(DemoResult::adapterBytes).max().orElse(1);
        return String.format(Locale.ROOT, "%.1f", 100.0 * result.adapterBytes() / largest);
    }

    String tolerance() {
        return difference(first().report().tolerance().fp32());
    }

    /** What it ran on, and with. */
    String machine() {
        Environment environment = Environment.here();
        return String.format(
                Locale.ROOT,
                "adapt %s, commit %s; Java %s, libtorch %s, ONNX Runtime %s (%s); %d processors, %s; %s",
                Release.here().version(),
                Release.here().commit(),
                environment.java(),
                Release.here().libtorch(),
                environment.onnxRuntime(),
                String.join(", ", environment.providers()),
                environment.processors(),
                environment.system(),
                LocalDate.now(ZoneId.systemDefault()));
    }

    private static String number(long value) {
        return String.format(Locale.ROOT, "%,d", value);
    }

    private static String rate(double value) {
        return String.format(Locale.ROOT, "%.0e", value).replace("e-0", "e-");
    }

    static String percent(double share) {
        return String.format(Locale.ROOT, "%.1f%%", 100 * share);
    }

    static String difference(double value) {
        return String.format(Locale.ROOT, "%.1e", value);
    }
}
