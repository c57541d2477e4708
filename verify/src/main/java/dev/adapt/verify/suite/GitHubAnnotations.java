package dev.adapt.verify.suite;

import dev.adapt.verify.Finding;
import dev.adapt.verify.Report;
import dev.adapt.verify.suite.SuiteResult.ModelResult;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/** A suite's result as workflow commands, which GitHub Actions shows as annotations. */
public final class GitHubAnnotations {
    private GitHubAnnotations() {}

    /** A line for each model that failed, and one for all that passed. */
    public static List<String> of(SuiteResult result, Function<Throwable, String> sentence) {
        List<String> lines = new ArrayList<>();
        for (ModelResult model : result.models()) {
            model.error().ifPresent(error -> lines.add(line("error", model.name(), sentence.apply(error))));
            model.report()
                    .filter(report -> !report.passed())
                    .ifPresent(report -> lines.add(line("error", model.name(), said(report))));
            model.gates().stream()
                    .filter(gate -> !gate.passed())
                    .forEach(gate -> lines.add(line("error", model.name(), gate.name() + ": " + gate.found())));
        }
        long passed = result.models().stream().filter(ModelResult::passed).count();
        lines.add(
                line("notice", result.name(), passed + " of " + result.models().size() + " models agree"));
        return lines;
    }

    private static String said(Report report) {
        return report.findings().isEmpty()
                ? report.verdict()
                : String.join(
                        "\n",
                        report.findings().stream().map(GitHubAnnotations::said).toList());
    }

    private static String said(Finding finding) {
        return finding.form() + ": " + finding.sentence();
    }

    /** A command ends with its line, and a property with a comma: these are escaped. */
    private static String line(String kind, String title, String message) {
        return "::" + kind + " title=" + escape(title).replace(":", "%3A").replace(",", "%2C") + "::" + escape(message);
    }

    private static String escape(String text) {
        return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A");
    }
}
