package dev.adapt.cli.demo;

import dev.adapt.cli.report.HtmlPage;
import dev.adapt.cli.report.LineChart;
import dev.adapt.cli.report.LineChart.Point;
import dev.adapt.cli.report.LineChart.Series;
import dev.adapt.cli.terminal.Bytes;
import dev.adapt.verify.compare.Comparison;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.IntStream;

/**
 * The demo's {@code report.html}: one file that needs nothing else.
 *
 * @param subtitle what ran, on what, when
 * @param examples a text of the data for each label
 * @param settings of training, which both methods share, in words
 * @param commands what a user would run next
 */
record DemoReport(
        String subtitle,
        String lead,
        Map<String, String> examples,
        String settings,
        List<DemoResult> results,
        String commands) {
    private static final int SMOOTHING = 10;

    String html() throws IOException {
        return new HtmlPage("demo.html")
                .with(Map.ofEntries(
                        Map.entry("subtitle", HtmlPage.escape(subtitle)),
                        Map.entry("lead", HtmlPage.escape(lead)),
                        Map.entry("examples", examplesTable()),
                        Map.entry("comparison", comparison()),
                        Map.entry("settings", HtmlPage.escape(settings)),
                        Map.entry("lossChart", lossChart().svg()),
                        Map.entry("accuracyChart", accuracyChart().svg()),
                        Map.entry("sizes", sizes()),
                        Map.entry(
                                "inputs",
                                HtmlPage.escape(
                                        results.getFirst().report().inputs().description())),
                        Map.entry(
                                "tolerance",
                                difference(
                                        results.getFirst().report().tolerance().fp32())),
                        Map.entry("verification", verification()),
                        Map.entry("commands", HtmlPage.escape(commands))));
    }

    private String examplesTable() {
        StringBuilder table = new StringBuilder("<table class=\"examples\"><tr><th>intent</th><th>a request</th></tr>");
        examples.forEach((label, text) -> table.append("<tr><td><code>%s</code></td><td>%s</td></tr>"
                .formatted(HtmlPage.escape(label), HtmlPage.escape(text))));
        return table.append("</table>").toString();
    }

    private String comparison() {
        StringBuilder table = new StringBuilder("<table class=\"comparison\"><tr><th></th>");
        results.forEach(result -> table.append("<th class=\"n %s\">%s</th>".formatted(result.style(), result.name())));
        table.append("</tr>");
        row(
                table,
                "Trained parameters of the adapter",
                result -> String.format(Locale.ROOT, "%,d", result.trainedParameters()));
        row(
                table,
                "Trained parameters of the head",
                result -> String.format(Locale.ROOT, "%,d", result.headParameters()));
        row(table, "Adapter file, head included", result -> new Bytes(result.adapterBytes()).toString());
        row(table, "Dev accuracy before training", result -> percent(result.before()));
        row(table, "Dev accuracy after training", result -> "<strong>" + percent(result.after()) + "</strong>");
        row(
                table,
                "Peak learning rate of adapter, head",
                result -> rate(result.learningRate()) + ", " + rate(result.headLearningRate()));
        row(table, "Epoch kept", result -> result.best() + " of " + result.epochs());
        row(table, "Training time", result -> String.format(Locale.ROOT, "%.0f s", result.trainSeconds()));
        row(
                table,
                "Training speed, examples/s",
                result -> String.format(Locale.ROOT, "%.0f", result.examplesPerSecond()));
        row(table, "Merge time", result -> String.format(Locale.ROOT, "%.2f s", result.mergeSeconds()));
        row(
                table,
                "Largest logit difference of any two forms",
                result -> difference(result.report().maxAbsolute()));
        row(table, "Verification", result -> verdict(result.report().passed()));
        return table.append("</table>").toString();
    }

    private void row(StringBuilder table, String heading, Function<DemoResult, String> cell) {
        table.append("<tr><td>").append(heading).append("</td>");
        results.forEach(result ->
                table.append("<td class=\"n\">").append(cell.apply(result)).append("</td>"));
        table.append("</tr>");
    }

    private LineChart lossChart() {
        List<Series> curves = new ArrayList<>();
        for (DemoResult result : results) {
            curves.add(new Series(result.name(), result.style(), smoothed(result)));
            curves.add(new Series(result.name(), result.style() + " dev", byEpoch(result.devLosses(), 1)));
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

    private LineChart accuracyChart() {
        List<Series> curves = new ArrayList<>();
        for (DemoResult result : results) {
            List<Point> points = byEpoch(result.accuracies(), 0.01);
            curves.add(new Series(result.name(), result.style(), points, true, Optional.of(points.get(result.best()))));
        }
        return new LineChart("Dev accuracy", "epoch", "% of requests classified right; ring: the epoch kept", curves);
    }

    private String sizes() {
        long largest =
                results.stream().mapToLong(DemoResult::adapterBytes).max().orElse(1);
        StringBuilder table = new StringBuilder("<table class=\"sizes\">");
        for (DemoResult result : results) {
            table.append(String.format(
                    Locale.ROOT,
                    "<tr><td class=\"name\">%s</td><td class=\"%s\"><div class=\"bar\" style=\"width:%.1f%%\"></div></td>"
                            + "<td class=\"n size\">%s</td></tr>",
                    result.name(),
                    result.style(),
                    100.0 * result.adapterBytes() / largest,
                    new Bytes(result.adapterBytes())));
        }
        return table.append("</table>").toString();
    }

    private String verification() {
        StringBuilder html = new StringBuilder();
        for (DemoResult result : results) {
            html.append("<h3 class=\"%s\">%s</h3><div class=\"card\"><table class=\"wide\">"
                    .formatted(result.style(), result.name()));
            html.append(
                    "<tr><th>form</th><th>compared with</th><th class=\"n\">max abs</th><th class=\"n\">mean abs</th>"
                            + "<th class=\"n\">max rel</th><th class=\"n\">same class</th><th class=\"n\">verdict</th></tr>");
            result.report().comparisons().forEach(comparison -> html.append(row(comparison)));
            html.append("</table></div>");
        }
        return html.toString();
    }

    private static String row(Comparison comparison) {
        String names = "<tr><td>%s</td><td>%s</td>"
                .formatted(HtmlPage.escape(comparison.left()), HtmlPage.escape(comparison.right()));
        String verdict = "<td class=\"n\">%s</td></tr>".formatted(verdict(comparison.passed()));
        return comparison
                .errors()
                .map(errors -> names
                        + "<td class=\"n\">%s</td><td class=\"n\">%s</td><td class=\"n\">%s</td><td class=\"n\">%s</td>"
                                .formatted(
                                        difference(errors.maxAbsolute()),
                                        difference(errors.meanAbsolute()),
                                        difference(errors.maxRelative()),
                                        percent(errors.argmaxAgreement()))
                        + verdict)
                .orElse(names + "<td colspan=\"4\">"
                        + HtmlPage.escape(comparison.failure().orElse("")) + "</td>" + verdict);
    }

    private static String verdict(boolean passed) {
        String word = passed ? "PASS" : "FAIL";
        return "<span class=\"verdict %s\">%s</span>".formatted(word, word);
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
