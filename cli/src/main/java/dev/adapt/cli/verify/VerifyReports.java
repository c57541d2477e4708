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
import java.util.stream.Stream;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** The reports of a verification that programs and browsers read. */
final class VerifyReports {
    /** What {@code --json} is without a file. */
    private static final String PRINT = "-";

    @Option(
            names = "--json",
            arity = "0..1",
            paramLabel = "FILE",
            fallbackValue = PRINT,
            description = "print JSON; with FILE, write it there, with versions, digests and times")
    private Optional<Path> json = Optional.empty();

    @Option(names = "--junit", paramLabel = "FILE", description = "write JUnit XML for a build server")
    private Optional<Path> junit = Optional.empty();

    @Option(names = "--html", paramLabel = "FILE", description = "write an HTML page, all in one file")
    private Optional<Path> html = Optional.empty();

    @Option(names = "--github", description = "print annotations for GitHub Actions")
    private boolean github;

    @Mixin
    private OutputOptions output = new OutputOptions();

    /** Where the reports go, which are none of these files. */
    Outputs outputs(List<Path> inputs) throws IOException {
        Outputs outputs = output.apartFrom(inputs, List.of());
        for (Path path : files()) {
            // before anything runs for minutes
            outputs.requireFile(path);
        }
        return outputs;
    }

    /** Whether JSON goes to standard output, in place of the table. */
    boolean printsJson() {
        return json.filter(path -> path.toString().equals(PRINT)).isPresent();
    }

    /** Whether a report beside what is printed is asked for. */
    boolean any() {
        return hasFiles() || github;
    }

    /** Whether a report goes to a file. */
    boolean hasFiles() {
        return !files().isEmpty();
    }

    private Optional<Path> jsonFile() {
        return printsJson() ? Optional.empty() : json;
    }

    private List<Path> files() {
        return Stream.of(junit, html, jsonFile()).flatMap(Optional::stream).toList();
    }

    /** What a user is told of an error. */
    static String sentence(Throwable error) {
        return Failure.of(error).sentence();
    }

    /** Writes the files that were asked for, and prints GitHub's annotations. */
    void write(SuiteResult result, Outputs outputs) throws IOException {
        if (junit.isPresent()) {
            write(outputs, junit.get(), new JUnitXml(result, VerifyReports::sentence).text());
        }
        if (html.isPresent()) {
            write(outputs, html.get(), new VerifyPage(result).html());
        }
        if (jsonFile().isPresent()) {
            write(
                    outputs,
                    jsonFile().get(),
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
