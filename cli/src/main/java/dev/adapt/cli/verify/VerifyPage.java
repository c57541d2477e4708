package dev.adapt.cli.verify;

import dev.adapt.cli.report.HtmlPage;
import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.Printable;
import dev.adapt.cli.terminal.Release;
import dev.adapt.verify.Finding;
import dev.adapt.verify.compare.Comparison;
import dev.adapt.verify.compare.Errors;
import dev.adapt.verify.compare.Report;
import dev.adapt.verify.suite.Environment;
import dev.adapt.verify.suite.SuiteResult;
import dev.adapt.verify.suite.SuiteResult.GateResult;
import dev.adapt.verify.suite.SuiteResult.ModelResult;
import java.io.IOException;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** A verification's result as one page. */
record VerifyPage(SuiteResult result) {
    private static final int SHOWN = 5;

    String html() throws IOException {
        long passed = result.models().stream().filter(ModelResult::passed).count();
        StringBuilder details = new StringBuilder();
        result.models().forEach(model -> details.append(detail(model)));
        Environment environment = result.environment();
        return new HtmlPage("verify.html")
                .with(Map.of(
                        "title", text(result.name()),
                        "summary",
                                String.format(
                                        Locale.ROOT,
                                        "%d of %d models passed, in %.1f s",
                                        passed,
                                        result.models().size(),
                                        result.seconds()),
                        "models", models(),
                        "details", details.toString(),
                        "environment",
                                text(String.format(
                                        Locale.ROOT,
                                        "adapt %s, Java %s, ONNX Runtime %s (%s), %d processors, %s",
                                        Release.here().version(),
                                        environment.java(),
                                        environment.onnxRuntime(),
                                        String.join(", ", environment.providers()),
                                        environment.processors(),
                                        environment.system()))));
    }

    private static String text(String text) {
        return HtmlPage.escape(Printable.lines(text));
    }

    private static String verdict(boolean passed) {
        String word = passed ? "PASS" : "FAIL";
        return "<span class=\"verdict " + word + "\">" + word + "</span>";
    }

    private String models() {
        StringBuilder table = new StringBuilder("<table class=\"models\"><tr><th>Model</th><th>Verdict</th><th></th>");
        table.append("<th class=\"n\">Time</th></tr>");
        for (ModelResult model : result.models()) {
            String said = model.error()
                    .map(VerifyReports::sentence)
                    .or(() -> model.report().map(Report::verdict))
                    .orElse("");
            table.append("<tr><td>").append(text(model.name())).append("</td><td>");
            table.append(verdict(model.passed()))
                    .append("</td><td>")
                    .append(text(said))
                    .append("</td>");
            table.append(String.format(Locale.ROOT, "<td class=\"n\">%.1f s</td></tr>", model.seconds()));
        }
        return table.append("</table>").toString();
    }

    private static String detail(ModelResult model) {
        StringBuilder html = new StringBuilder("<h2>" + text(model.name()) + " " + verdict(model.passed()) + "</h2>");
        model.error()
                .ifPresent(error -> html.append("<p>")
                        .append(text(VerifyReports.sentence(error)))
                        .append("</p>"));
        model.report().ifPresent(report -> report(html, report));
        if (!model.gates().isEmpty()) {
            html.append("<h3>Gates</h3><div class=\"card\"><table>");
            for (GateResult gate : model.gates()) {
                html.append("<tr><td>")
                        .append(text(gate.name()))
                        .append("</td><td>")
                        .append(text(gate.found()));
                html.append("</td><td>").append(verdict(gate.passed())).append("</td></tr>");
            }
            html.append("</table></div>");
        }
        html.append("<details><summary>Files</summary><div class=\"card\"><table class=\"wide\">");
        for (Environment.Digest file : model.files()) {
            html.append("<tr><td><code>").append(text(file.file().toString())).append("</code></td><td class=\"n\">");
            html.append(new Bytes(file.bytes())).append("</td><td><code>").append(file.sha256());
            html.append("</code></td></tr>");
        }
        return html.append("</table></div></details>").toString();
    }

    private static void report(StringBuilder html, Report report) {
        html.append("<p class=\"soft\">On ")
                .append(text(report.inputs().description()))
                .append(".</p>");
        for (Finding finding : report.findings()) {
            html.append("<p><strong>").append(text(finding.form())).append(":</strong> ");
            html.append(text(finding.sentence())).append("</p>");
            if (!finding.tensors().isEmpty()) {
                html.append("<div class=\"card\"><table><tr><th>Tensor</th><th>Element</th><th class=\"n\">Found</th>");
                html.append("<th class=\"n\">Expected</th><th class=\"n\">Off by</th></tr>");
                finding.tensors().stream()
                        .limit(SHOWN)
                        .forEach(tensor -> html.append(String.format(
                                Locale.ROOT,
                                "<tr><td><code>%s</code></td><td>%s</td><td class=\"n\">%.6g</td><td class=\"n\">%.6g</td>"
                                        + "<td class=\"n\">%.2g</td></tr>",
                                text(tensor.name()),
                                tensor.index(),
                                tensor.found(),
                                tensor.expected(),
                                tensor.relative())));
                html.append("</table></div>");
            }
        }
        html.append("<div class=\"card\"><table class=\"wide\"><tr><th>Output</th><th>Form</th><th>Compared with</th>");
        html.append("<th class=\"n\">Largest</th><th class=\"n\">Relative</th><th class=\"n\">Cosine</th>");
        html.append("<th class=\"n\">Argmax</th><th></th></tr>");
        report.comparisons().forEach(comparison -> html.append(row(comparison)));
        html.append("</table></div>");
        report.uncompared()
                .forEach(output -> html.append("<p class=\"soft\">Not compared: ")
                        .append(text(output))
                        .append("</p>"));
    }

    private static String row(Comparison comparison) {
        String numbers = comparison
                .errors()
                .map(VerifyPage::numbers)
                .orElse("<td class=\"n\">–</td><td class=\"n\">–</td><td class=\"n\">–</td><td class=\"n\">–</td>");
        Optional<String> failure = comparison.failure();
        return "<tr><td>" + text(comparison.output()) + "</td><td>" + text(comparison.left()) + "</td><td>"
                + text(comparison.right()) + "</td>" + numbers + "<td>" + verdict(comparison.passed())
                + failure.map(reason -> "<br><span class=\"soft\">" + text(reason) + "</span>")
                        .orElse("")
                + "</td></tr>";
    }

    private static String numbers(Errors errors) {
        return String.format(
                Locale.ROOT,
                "<td class=\"n\">%.1e</td><td class=\"n\">%.1e</td><td class=\"n\">%.6f</td><td class=\"n\">%.1f %%</td>",
                errors.maxAbsolute(),
                errors.maxRelative(),
                errors.likeness().cosine(),
                Math.floor(1000 * errors.argmaxAgreement()) / 10);
    }
}
