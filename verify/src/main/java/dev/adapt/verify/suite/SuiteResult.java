package dev.adapt.verify.suite;

import dev.adapt.verify.compare.Report;
import dev.adapt.verify.form.Forms;
import java.io.IOException;
import java.util.List;
import java.util.Optional;

/**
 * What became of a suite.
 *
 * @param seconds from the first model's start to the last one's end
 */
public record SuiteResult(String name, List<ModelResult> models, Environment environment, double seconds) {
    /**
     * What became of one model.
     *
     * @param report empty where it could not be verified
     * @param error why not, in a sentence
     * @param files what was compared, each with its digest
     */
    public record ModelResult(
            String name,
            Optional<Report> report,
            Optional<Throwable> error,
            List<GateResult> gates,
            List<Environment.Digest> files,
            double seconds) {
        public ModelResult {
            gates = List.copyOf(gates);
            files = List.copyOf(files);
        }

        /** That of a verification without gates. */
        public static ModelResult of(String name, Report report, Forms forms, double seconds) throws IOException {
            return new ModelResult(
                    name, Optional.of(report), Optional.empty(), List.of(), Environment.of(forms), seconds);
        }

        /** Whether its forms agree and all its gates hold. */
        public boolean passed() {
            return report.filter(Report::passed).isPresent() && gates.stream().allMatch(GateResult::passed);
        }
    }

    /**
     * What became of a gate.
     *
     * @param name in words: {@code accuracy of onnx}
     * @param found what was measured against what was asked: {@code 0.912, at least 0.9}
     */
    public record GateResult(String name, boolean passed, String found) {}

    public SuiteResult {
        models = List.copyOf(models);
    }

    /** Whether every model passed. */
    boolean passed() {
        return models.stream().allMatch(ModelResult::passed);
    }

    /** Whether a model could not be verified at all. */
    public Optional<Throwable> firstError() {
        return models.stream().flatMap(model -> model.error().stream()).findFirst();
    }
}
