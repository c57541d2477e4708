package dev.adapt.cli.verify;

import dev.adapt.cli.options.OutputOptions;
import dev.adapt.cli.terminal.Failure;
import dev.adapt.cli.terminal.Printable;
import dev.adapt.cli.terminal.Release;
import dev.adapt.cli.terminal.Terminal;
import dev.adapt.formats.io.OutputFile;
import dev.adapt.formats.io.Outputs;
import dev.adapt.verify.compare.Report;
import dev.adapt.verify.suite.GitHubAnnotations;
import dev.adapt.verify.suite.JUnitXml;
import dev.adapt.verify.suite.SuiteJson;
import dev.adapt.verify.suite.SuiteResult;
import dev.adapt.verify.suite.SuiteResult.GateResult;
import dev.adapt.verify.suite.SuiteResult.ModelResult;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** The reports of a verification that others read: a build server, a browser, GitHub. */
final class VerifyReports {
    @Option(names = "--junit", paramLabel = "FILE", description = "write JUnit XML, for a build server")
    private Optional<Path> junit = Optional.empty();

    @Option(names = "--html", paramLabel = "FILE", description = "write a page that needs nothing else")
    private Optional<Path> html = Optional.empty();

    @Option(names = "--github", description = "print annotations for GitHub Actions")
    private boolean github;

    @Mixin
    private OutputOptions output = new OutputOptions();

    /** Where the reports go, which are none of these files. */
    Outputs outputs(List<Path> inputs) throws IOException {
        Outputs outputs = output.apartFrom(inputs, List.of());
        for (Optional<Path> path : List.of(junit, html)) {
            if (path.isPresent()) {
                // before anything runs for minutes
                outputs.requireFile(path.get());
            }
        }
        return outputs;
    }

    /** Whether a report is asked for. */
    boolean any() {
        return junit.isPresent() || html.isPresent() || github;
    }

    /** Whether a report goes to a file. */
    boolean hasFiles() {
        return junit.isPresent() || html.isPresent();
    }

    /** What a user is told of an error. */
    static String sentence(Throwable error) {
        return Failure.of(error).sentence();
    }

    /** Writes what was asked for, and JSON where it has a file. */
    void write(SuiteResult result, Optional<Path> json, Outputs outputs) throws IOException {
        if (junit.isPresent()) {
            write(outputs, junit.get(), new JUnitXml(result, VerifyReports::sentence).text());
        }
        if (html.isPresent()) {
            write(outputs, html.get(), new VerifyPage(result).html());
        }
        if (json.isPresent()) {
            write(
                    outputs,
                    json.get(),
                    Printable.json(SuiteJson.of(result, Release.here().version(), VerifyReports::sentence)) + "\n");
        }
        if (github) {
            GitHubAnnotations.of(result, VerifyReports::sentence).forEach(Terminal::line);
        }
    }

    private static void write(Outputs outputs, Path file, String text) throws IOException {
        try (OutputFile pending = outputs.file(file)) {
            pending.text(text);
            pending.commit();
        }
    }

    /** Prints a line for each model, and of those that failed why. */
    void print(SuiteResult result) {
        for (ModelResult model : result.models()) {
            String verdict = model.error()
                    .map(VerifyReports::sentence)
                    .or(() -> model.report().map(Report::verdict))
                    .orElse("");
            String word = model.passed() ? "PASS" : model.error().isPresent() ? "ERROR" : "FAIL";
            String text = String.format(Locale.ROOT, ": %s (%.1f s)", verdict, model.seconds());
            Terminal.verdicts(word + "  " + Printable.message(model.name() + text) + "\n");
            for (GateResult gate : model.gates()) {
                String found = Printable.message(gate.name() + ": " + gate.found());
                Terminal.verdicts("      " + (gate.passed() ? "PASS" : "FAIL") + "  " + found + "\n");
            }
            model.report()
                    .filter(report -> !report.passed())
                    .map(report -> report.map(Printable::message).diagnosis())
                    .ifPresent(diagnosis -> Terminal.lines(diagnosis.indent(6)));
        }
        long passed = result.models().stream().filter(ModelResult::passed).count();
        Terminal.line(String.format(
                Locale.ROOT,
                "%d of %d models passed in %.1f s",
                passed,
                result.models().size(),
                result.seconds()));
    }
}
