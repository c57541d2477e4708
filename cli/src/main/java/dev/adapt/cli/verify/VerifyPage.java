package dev.adapt.cli.verify;

import dev.adapt.cli.report.PageTemplate;
import dev.adapt.cli.terminal.Bytes;
import dev.adapt.cli.terminal.Printable;
import dev.adapt.cli.terminal.Release;
import dev.adapt.verify.Finding;
import dev.adapt.verify.compare.Comparison;
import dev.adapt.verify.compare.Errors;
import dev.adapt.verify.compare.Report;
import dev.adapt.verify.suite.Environment;
import dev.adapt.verify.suite.SuiteResult;
import dev.adapt.verify.suite.SuiteResult.ModelResult;
import java.io.IOException;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.ToDoubleFunction;

/** A verification's result as one page, filled in by {@code src/main/jte/verify/verify.jte}. */
record VerifyPage(SuiteResult result) {
    /** How many tensors of a finding are shown. */
    private static final int SHOWN = 5;

    String html() throws IOException {
        return new PageTemplate("verify/verify").page(title(), this);
    }

    private String title() {
        return "adapt verify: " + heading() + ": "
                + (passed() == result.models().size() ? "PASS" : "FAIL");
    }

    /** The model that was verified, or the suite. */
    String heading() {
        List<ModelResult> models = result.models();
        return shown(models.size() == 1 ? models.getFirst().name() : result.name());
    }

    private long passed() {
        return result.models().stream().filter(ModelResult::passed).count();
    }

    String summary() {
        return text(
                "%d of %d models passed, in %.1f s", passed(), result.models().size(), result.seconds());
    }

    String machine() {
        Environment environment = result.environment();
        return shown(text(
                "adapt %s, Java %s, ONNX Runtime %s (%s), %d processors, %s",
                Release.here().version(),
                environment.java(),
                environment.onnxRuntime(),
                String.join(", ", environment.providers()),
                environment.processors(),
                environment.system()));
    }

    /** A name or message without characters that control the display. */
    static String shown(String text) {
        return Printable.lines(text);
    }

    /** The verdict of a model in words, or why there is none. */
    static String said(ModelResult model) {
        return shown(model.error()
                .map(VerifyReports::sentence)
                .or(() -> model.report().map(Report::verdict))
                .orElse(""));
    }

    static String seconds(ModelResult model) {
        return text("%.1f s", model.seconds());
    }

    static String size(Environment.Digest file) {
        return new Bytes(file.bytes()).toString();
    }

    /** A tensor of a finding. */
    record Off(String tensor, String element, String found, String expected, String by) {}

    static List<Off> off(Finding finding) {
        return finding.tensors().stream()
                .limit(SHOWN)
                .map(tensor -> new Off(
                        shown(tensor.name()),
                        tensor.index().toString(),
                        text("%.6g", tensor.found()),
                        text("%.6g", tensor.expected()),
                        text("%.2g", tensor.relative())))
                .toList();
    }

    /** A comparison of two forms. Its figures are dashes where one form gave no output. */
    record Row(
            String output,
            String left,
            String right,
            String largest,
            String relative,
            String cosine,
            String argmax,
            boolean passed,
            String failure) {}

    static List<Row> rows(Report report) {
        return report.comparisons().stream().map(VerifyPage::row).toList();
    }

    private static Row row(Comparison comparison) {
        Optional<Errors> errors = comparison.errors();
        return new Row(
                shown(comparison.output()),
                shown(comparison.left()),
                shown(comparison.right()),
                figure(errors, "%.1e", Errors::maxAbsolute),
                figure(errors, "%.1e", Errors::maxRelative),
                figure(errors, "%.6f", own -> own.likeness().cosine()),
                figure(errors, "%.1f %%", own -> Math.floor(1000 * own.argmaxAgreement()) / 10),
                comparison.passed(),
                shown(comparison.failure().orElse("")));
    }

    private static String figure(Optional<Errors> errors, String format, ToDoubleFunction<Errors> value) {
        return errors.map(own -> text(format, value.applyAsDouble(own))).orElse("–");
    }

    @SuppressWarnings("AnnotateFormatMethod") // would cost a dependency on annotations for one private method
    private static String text(String format, Object... arguments) {
        return String.format(Locale.ROOT, format, arguments);
    }
}
