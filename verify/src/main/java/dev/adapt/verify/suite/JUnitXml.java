package dev.adapt.verify.suite;

import dev.adapt.verify.Comparison;
import dev.adapt.verify.Report;
import dev.adapt.verify.suite.SuiteResult.GateResult;
import dev.adapt.verify.suite.SuiteResult.ModelResult;
import java.util.Locale;
import java.util.function.Function;

/**
 * A suite's result as JUnit's XML, which build servers read: a test suite for each model, a test case for each output of
 * each pair of forms, for each gate, and for what was found in the files beside the outputs.
 *
 * @param sentence what a user is told of an error
 */
public record JUnitXml(SuiteResult result, Function<Throwable, String> sentence) {
    /** The document. */
    public String text() {
        StringBuilder xml = new StringBuilder("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        xml.append("<testsuites name=\"").append(escape(result.name())).append("\" time=\"");
        xml.append(seconds(result.seconds())).append("\">\n");
        result.models().forEach(model -> suite(xml, model));
        return xml.append("</testsuites>\n").toString();
    }

    private void suite(StringBuilder xml, ModelResult model) {
        StringBuilder cases = new StringBuilder();
        Counts counts = new Counts();
        model.error().ifPresent(error -> {
            counts.tests++;
            counts.errors++;
            begin(cases, model, "verify", model.seconds());
            cases.append("<error message=\"")
                    .append(escape(sentence.apply(error)))
                    .append("\" type=\"");
            cases.append(escape(error.getClass().getSimpleName())).append("\"/></testcase>\n");
        });
        model.report().ifPresent(report -> report(cases, counts, model, report));
        model.gates().forEach(gate -> gate(cases, counts, model, gate));
        xml.append("  <testsuite name=\"").append(escape(result.name() + "." + model.name()));
        xml.append("\" tests=\"").append(counts.tests).append("\" failures=\"").append(counts.failures);
        xml.append("\" errors=\"").append(counts.errors).append("\" skipped=\"0\" time=\"");
        xml.append(seconds(model.seconds())).append("\">\n").append(cases);
        model.report()
                .ifPresent(report -> xml.append("    <system-out>")
                        .append(escape(report.text()))
                        .append("</system-out>\n"));
        xml.append("  </testsuite>\n");
    }

    private static final class Counts {
        private int tests;
        private int failures;
        private int errors;
    }

    private void report(StringBuilder cases, Counts counts, ModelResult model, Report report) {
        for (Comparison comparison : report.comparisons()) {
            String name = comparison.output() + ": " + comparison.left() + " and " + comparison.right();
            String detail =
                    comparison.worst().map(worst -> "at " + worst + "\n").orElse("") + report.diagnosis();
            test(
                    cases,
                    counts,
                    model,
                    name,
                    comparison
                            .failure()
                            .map(failure -> new String[] {failure, detail})
                            .orElse(new String[0]));
        }
        report.findings().stream()
                .filter(finding -> finding.decides())
                .forEach(finding -> test(
                        cases,
                        counts,
                        model,
                        finding.form() + ": " + finding.cause(),
                        finding.sentence(),
                        report.diagnosis()));
    }

    private void gate(StringBuilder cases, Counts counts, ModelResult model, GateResult gate) {
        test(cases, counts, model, gate.name(), gate.passed() ? new String[0] : new String[] {gate.found(), ""});
    }

    /** @param failure message and details, or nothing */
    private void test(StringBuilder cases, Counts counts, ModelResult model, String name, String... failure) {
        counts.tests++;
        begin(cases, model, name, 0);
        if (failure.length == 2) {
            counts.failures++;
            cases.append("<failure message=\"").append(escape(failure[0])).append("\" type=\"difference\">");
            cases.append(escape(failure[1])).append("</failure>");
        }
        cases.append("</testcase>\n");
    }

    private void begin(StringBuilder cases, ModelResult model, String name, double seconds) {
        cases.append("    <testcase classname=\"").append(escape(result.name() + "." + model.name()));
        cases.append("\" name=\"").append(escape(name)).append("\" time=\"");
        cases.append(seconds(seconds)).append("\">");
    }

    private static String seconds(double seconds) {
        return String.format(Locale.ROOT, "%.3f", seconds);
    }

    /** Text for XML 1.0, which has no control characters but tab and line breaks at all. */
    static String escape(String text) {
        StringBuilder escaped = new StringBuilder();
        text.codePoints().forEach(c -> {
            switch (c) {
                case '&' -> escaped.append("&amp;");
                case '<' -> escaped.append("&lt;");
                case '>' -> escaped.append("&gt;");
                case '"' -> escaped.append("&quot;");
                case '\n' -> escaped.append("&#10;");
                case '\t' -> escaped.append("&#9;");
                default -> {
                    boolean allowed = (c >= 0x20 && c <= 0xd7ff) || (c >= 0xe000 && c <= 0xfffd) || c >= 0x10000;
                    escaped.appendCodePoint(allowed ? c : 0xfffd);
                }
            }
        });
        return escaped.toString();
    }
}
