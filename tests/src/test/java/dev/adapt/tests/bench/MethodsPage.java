package dev.adapt.tests.bench;

import dev.adapt.cli.report.HtmlPage;
import dev.adapt.cli.terminal.Bytes;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;

/**
 * Methods as a page: bytes against score for each data set, and the figures.
 *
 * @param differences of two methods, where they were asked for
 */
record MethodsPage(MethodRuns runs, List<MethodRuns.Difference> differences) {
    // about the pixels that a chart gets on a page, so that text keeps its size
    private static final int WIDTH = 460;
    private static final int HEIGHT = 340;
    private static final int LEFT = 44;
    private static final int RIGHT = 16;
    private static final int TOP = 52;
    private static final int BOTTOM = 44;
    private static final int LINE = 13;

    String html() throws IOException {
        StringBuilder body = new StringBuilder("<div class=\"charts\">\n");
        runs.dataSets()
                .forEach(data -> body.append("<div class=\"card\">")
                        .append(chart(data, runs.results(data)))
                        .append("</div>\n"));
        body.append("</div>\n");
        differences.forEach(difference -> add(body, "<p>%s</p>", HtmlPage.escape(difference.text())));
        runs.dataSets().forEach(data -> table(body, data, runs.results(data)));
        if (!runs.refusals().isEmpty()) {
            add(body, "<h2>Not trained</h2><div class=\"card\"><table>");
            for (Map.Entry<String, String> each : runs.refusals().entrySet()) {
                add(body, "<tr><td>%s</td><td>%s</td></tr>", each.getKey(), HtmlPage.escape(each.getValue()));
            }
            add(body, "</table></div>");
        }
        return """
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <title>Bytes and scores of adapters</title>
            <style>
            %s
              .charts { margin-top: 1.25rem; }
              svg .range { stroke: currentColor; stroke-width: 1.5; opacity: .5; }
              svg .rest { color: var(--soft); opacity: .7; }
              svg .name { font-size: 12px; fill: var(--ink); }
              tr.lora td:first-child { font-weight: 600; }
            </style>
            </head>
            <body><main>
            <h1>Bytes and scores of adapters</h1>
            <p class="soft">Each method with the settings that <code>adapt train</code> gives it, on query and value of
            all-MiniLM-L6-v2. Bytes are those of the adapter's file without the head. A dot is the mean over the seeds, its
            line reaches from the worst to the best. Named in blue: methods that no other beats in both bytes and score.</p>
            %s
            </main></body>
            </html>
            """.formatted(style(), body);
    }

    private static String style() throws IOException {
        try (InputStream in = Objects.requireNonNull(HtmlPage.class.getResourceAsStream("report.css"))) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private static boolean isBest(MethodRuns.Result result, List<MethodRuns.Result> all) {
        return all.stream().noneMatch(result::isBeatenBy);
    }

    private static String chart(String data, List<MethodRuns.Result> results) {
        StringBuilder svg = new StringBuilder();
        add(svg, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s: bytes and scores\">", WIDTH, HEIGHT, data);
        add(svg, "<text class=\"title\" x=\"0\" y=\"16\">%s</text>", HtmlPage.escape(data));
        if (!results.isEmpty()) {
            Scale scale = Scale.of(results);
            axes(svg, scale, results.getFirst().first().metric());
            List<double[]> names = new ArrayList<>();
            results.stream()
                    .filter(result -> !isBest(result, results))
                    .forEach(result -> dot(svg, scale, result, "rest"));
            results.stream().filter(result -> isBest(result, results)).forEach(result -> {
                dot(svg, scale, result, "lora");
                name(svg, scale, result, names);
            });
        }
        return svg.append("</svg>").toString();
    }

    private static void axes(StringBuilder svg, Scale scale, String metric) {
        add(svg, "<text class=\"tick\" x=\"0\" y=\"%d\">%s of dev</text>", TOP - 14, metric);
        for (double score : scale.scores()) {
            double y = scale.y(score);
            add(svg, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, WIDTH - RIGHT, y, y);
            add(
                    svg,
                    "<text class=\"tick\" text-anchor=\"end\" x=\"%d\" y=\"%.1f\">%.2f</text>",
                    LEFT - 8,
                    y + 4,
                    score);
        }
        for (long bytes : scale.bytes()) {
            double x = scale.x(bytes);
            add(svg, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", x, x, TOP, HEIGHT - BOTTOM);
            add(
                    svg,
                    "<text class=\"tick\" text-anchor=\"middle\" x=\"%.1f\" y=\"%d\">%s</text>",
                    x,
                    HEIGHT - BOTTOM + 18,
                    bytes < 1000 ? bytes + " B" : bytes < 1_000_000 ? bytes / 1000 + " KB" : bytes / 1_000_000 + " MB");
        }
        add(
                svg,
                "<text class=\"tick\" text-anchor=\"middle\" x=\"%d\" y=\"%d\">bytes stored</text>",
                (LEFT + WIDTH - RIGHT) / 2,
                HEIGHT - 6);
    }

    private static void dot(StringBuilder svg, Scale scale, MethodRuns.Result result, String style) {
        double x = scale.x(result.first().bytes());
        if (result.most() > result.least()) {
            add(
                    svg,
                    "<line class=\"range %s\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                    style,
                    x,
                    x,
                    scale.y(result.least()),
                    scale.y(result.most()));
        }
        add(
                svg,
                "<circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"><title>%s: %s, %.4f</title></circle>",
                style,
                x,
                scale.y(result.mean()),
                HtmlPage.escape(result.first().method()),
                new Bytes(result.first().bytes()),
                result.mean());
    }

    /** A name above its dot and inside of the chart, higher where another name is. */
    private static void name(StringBuilder svg, Scale scale, MethodRuns.Result result, List<double[]> names) {
        String text = result.first().method();
        double half = 3.5 * text.length();
        double x = Math.clamp(scale.x(result.first().bytes()), LEFT + half, WIDTH - RIGHT - half);
        double y = scale.y(result.most()) - 8;
        while (overlaps(names, x, y, half)) {
            y -= LINE;
        }
        names.add(new double[] {x, y, half});
        add(
                svg,
                "<text class=\"name\" text-anchor=\"middle\" x=\"%.1f\" y=\"%.1f\">%s</text>",
                x,
                y,
                HtmlPage.escape(text));
    }

    private static boolean overlaps(List<double[]> names, double x, double y, double half) {
        return names.stream()
                .anyMatch(other -> Math.abs(other[0] - x) < other[2] + half && Math.abs(other[1] - y) < LINE);
    }

    private static void table(StringBuilder body, String data, List<MethodRuns.Result> results) {
        add(body, "<h2>%s</h2><div class=\"card\"><table class=\"wide\">", HtmlPage.escape(data));
        add(
                body,
                "<tr><th>method</th><th class=\"n\">trained parameters</th><th class=\"n\">bytes</th><th class=\"n\">before"
                        + "</th><th class=\"n\">score</th><th class=\"n\">worst to best</th><th class=\"n\">seeds</th>"
                        + "<th class=\"n\">examples/s</th></tr>");
        for (MethodRuns.Result result : results) {
            add(
                    body,
                    "<tr class=\"%s\"><td>%s</td><td class=\"n\">%,d</td><td class=\"n\">%s</td><td class=\"n\">%.3f</td>"
                            + "<td class=\"n\">%.3f</td><td class=\"n\">%.3f to %.3f</td><td class=\"n\">%d</td>"
                            + "<td class=\"n\">%.0f</td></tr>",
                    isBest(result, results) ? "lora" : "",
                    HtmlPage.escape(result.first().method()),
                    result.first().parameters(),
                    new Bytes(result.first().bytes()),
                    result.first().before(),
                    result.mean(),
                    result.least(),
                    result.most(),
                    result.runs().size(),
                    result.examplesPerSecond());
        }
        add(body, "</table></div>");
    }

    @SuppressWarnings("AnnotateFormatMethod") // would cost a dependency on annotations for one private method
    private static void add(StringBuilder html, String format, Object... arguments) {
        html.append(String.format(Locale.ROOT, format, arguments)).append('\n');
    }

    /**
     * Where bytes, in powers of 10, and scores are in a chart.
     *
     * @param from the power of 10 at the left
     * @param to that at the right
     * @param low the score at the bottom
     * @param high that at the top
     * @param step between scores that are labelled
     */
    private record Scale(int from, int to, double low, double high, double step) {
        static Scale of(List<MethodRuns.Result> results) {
            long fewest = results.getFirst().first().bytes();
            long most = results.getLast().first().bytes();
            double low =
                    results.stream().mapToDouble(MethodRuns.Result::least).min().orElseThrow();
            double high =
                    results.stream().mapToDouble(MethodRuns.Result::most).max().orElseThrow();
            double step = high - low > 0.4 ? 0.1 : high - low > 0.15 ? 0.05 : 0.02;
            int from = (int) Math.floor(Math.log10((double) Math.max(1, fewest)));
            int to = Math.max(from + 1, (int) Math.ceil(Math.log10((double) Math.max(1, most))));
            return new Scale(from, to, Math.floor(low / step) * step, (Math.ceil(high / step) + 1) * step, step);
        }

        double x(long bytes) {
            double share = (Math.log10((double) Math.max(1, bytes)) - from) / (to - from);
            return LEFT + share * (WIDTH - LEFT - RIGHT);
        }

        double y(double score) {
            return HEIGHT - BOTTOM - (score - low) / (high - low) * (HEIGHT - TOP - BOTTOM);
        }

        List<Double> scores() {
            List<Double> ticks = new ArrayList<>();
            for (int i = 0; low + i * step < high + step / 2; i++) {
                ticks.add(low + i * step);
            }
            return ticks;
        }

        List<Long> bytes() {
            List<Long> ticks = new ArrayList<>();
            for (int power = from; power <= to; power++) {
                ticks.add(Math.round(Math.pow(10, power)));
            }
            return ticks;
        }
    }
}
