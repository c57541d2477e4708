package dev.adapt.cli;

import dev.adapt.cli.LineChart.Point;
import dev.adapt.cli.LineChart.Series;
import dev.adapt.verify.Comparison;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.function.Function;
import java.util.stream.IntStream;

/**
 * The demo's {@code report.html}: one file that needs nothing else.
 *
 * @param subtitle what ran, on what, when
 * @param commands what a user would run next
 */
record DemoReport(String subtitle, String lead, List<DemoResult> results, String commands) {
    private static final int SMOOTHING = 10;

    String html() throws IOException {
        String page = template();
        Map<String, String> parts = Map.of(
                "subtitle", escape(subtitle),
                "lead", escape(lead),
                "comparison", comparison(),
                "lossChart", lossChart().svg(),
                "accuracyChart", accuracyChart().svg(),
                "sizes", sizes(),
                "verification", verification(),
                "commands", escape(commands));
        for (Map.Entry<String, String> part : parts.entrySet()) {
            page = page.replace("{{" + part.getKey() + "}}", part.getValue());
        }
        return page;
    }

    private static String template() throws IOException {
        try (InputStream in = DemoReport.class.getResourceAsStream("demo/report.html")) {
            return new String(Objects.requireNonNull(in).readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private String comparison() {
        StringBuilder table = new StringBuilder("<table><tr><th></th>");
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
                "Training",
                result -> String.format(
                        Locale.ROOT, "%.0f s, %.0f examples/s", result.trainSeconds(), result.examplesPerSecond()));
        row(table, "Merge", result -> String.format(Locale.ROOT, "%.2f s", result.mergeSeconds()));
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
        return new LineChart(
                "Training loss",
                "step",
                "cross-entropy, mean of " + SMOOTHING + " steps",
                results.stream()
                        .map(result -> new Series(result.name(), result.style(), smoothed(result.losses()), false))
                        .toList());
    }

    private static List<Point> smoothed(List<Double> losses) {
        List<Point> points = new ArrayList<>();
        for (int step = 1; step <= losses.size(); step++) {
            double mean = losses.subList(Math.max(0, step - SMOOTHING), step).stream()
                    .mapToDouble(Double::doubleValue)
                    .average()
                    .orElse(0);
            points.add(new Point(step, mean));
        }
        return points;
    }

    private LineChart accuracyChart() {
        return new LineChart(
                "Dev accuracy",
                "epoch",
                "share of requests classified right",
                results.stream()
                        .map(result -> new Series(
                                result.name(),
                                result.style(),
                                IntStream.range(0, result.accuracies().size())
                                        .mapToObj(epoch -> new Point(
                                                epoch, result.accuracies().get(epoch)))
                                        .toList(),
                                true))
                        .toList());
    }

    private String sizes() {
        long largest =
                results.stream().mapToLong(DemoResult::adapterBytes).max().orElse(1);
        StringBuilder table = new StringBuilder("<table>");
        for (DemoResult result : results) {
            table.append(String.format(
                    Locale.ROOT,
                    "<tr><td style=\"width:12rem\">%s</td><td class=\"%s\"><div class=\"bar\" style=\"width:%.1f%%\"></div></td>"
                            + "<td class=\"n\" style=\"width:6rem\">%s</td></tr>",
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
            html.append("<h2 class=\"%s\">%s</h2><div class=\"card\"><table>".formatted(result.style(), result.name()));
            html.append(
                    "<tr><th>form</th><th>compared with</th><th class=\"n\">max abs</th><th class=\"n\">mean abs</th>"
                            + "<th class=\"n\">max rel</th><th class=\"n\">same class</th><th class=\"n\"></th></tr>");
            result.report().comparisons().forEach(comparison -> html.append(row(comparison)));
            html.append("</table></div>");
        }
        return html.toString();
    }

    private static String row(Comparison comparison) {
        String names = "<tr><td>%s</td><td>%s</td>".formatted(escape(comparison.left()), escape(comparison.right()));
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
                        + escape(comparison.failure().orElse("")) + "</td>" + verdict);
    }

    private static String verdict(boolean passed) {
        String word = passed ? "PASS" : "FAIL";
        return "<span class=\"verdict %s\">%s</span>".formatted(word, word);
    }

    static String percent(double share) {
        return String.format(Locale.ROOT, "%.1f%%", 100 * share);
    }

    static String difference(double value) {
        return String.format(Locale.ROOT, "%.1e", value);
    }

    private static String escape(String text) {
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;");
    }
}
