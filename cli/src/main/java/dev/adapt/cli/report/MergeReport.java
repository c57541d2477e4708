package dev.adapt.cli.report;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.cli.terminal.Printable;
import dev.adapt.formats.io.OutputFile;
import dev.adapt.formats.io.Outputs;
import dev.adapt.merge.engine.Statistics;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;

/** What a merge did to each weight: as JSON, and in a few lines. */
public record MergeReport(List<Statistics.Tensor> tensors) {
    /** Writes a JSON file with an object for each weight. */
    public void write(Path file, Outputs outputs) throws IOException {
        ObjectNode json = new JsonMapper().createObjectNode();
        ArrayNode list = json.putArray("tensors");
        for (Statistics.Tensor tensor : tensors) {
            list.addObject()
                    .put("name", tensor.name())
                    .put("dtype", tensor.dtype())
                    .put("delta_norm", tensor.deltaNorm())
                    .put("delta_norm_relative", tensor.relative())
                    .put("largest_rounding_error", tensor.largestRounding())
                    .put("elements", tensor.elements())
                    .put("changed_by_update", tensor.changes())
                    .put("change_lost_in_rounding", tensor.lost());
        }
        try (OutputFile pending = outputs.file(file)) {
            pending.text(new JsonMapper().writerWithDefaultPrettyPrinter().writeValueAsString(json));
            pending.commit();
        }
    }

    /** The sums, and the weight whose update suffered most. */
    public String summary() {
        long changes = tensors.stream().mapToLong(Statistics.Tensor::changes).sum();
        long lost = tensors.stream().mapToLong(Statistics.Tensor::lost).sum();
        double rounding = tensors.stream()
                .mapToDouble(Statistics.Tensor::largestRounding)
                .max()
                .orElse(0);
        Comparator<Statistics.Tensor> byRelative = Comparator.comparingDouble(Statistics.Tensor::relative);
        Comparator<Statistics.Tensor> byLost = Comparator.comparingDouble(MergeReport::lostShare);
        StringBuilder text = new StringBuilder(String.format(
                Locale.ROOT,
                "‖ΔW‖/‖W‖ %s to %s; largest rounding error %.3g; %,d of %,d changes (%.2f%%) are too small for the dtype",
                tensors.stream().min(byRelative).map(MergeReport::relative).orElse("-"),
                tensors.stream().max(byRelative).map(MergeReport::relative).orElse("-"),
                rounding,
                lost,
                changes,
                100.0 * lost / Math.max(1, changes)));
        tensors.stream()
                .max(byLost)
                .filter(worst -> worst.lost() > 0)
                .ifPresent(worst -> text.append(String.format(
                        Locale.ROOT, "%n  most in %s: %.2f%%", Printable.name(worst.name()), 100 * lostShare(worst))));
        return text.toString();
    }

    private static String relative(Statistics.Tensor tensor) {
        return String.format(Locale.ROOT, "%.3g", tensor.relative());
    }

    private static double lostShare(Statistics.Tensor tensor) {
        return (double) tensor.lost() / Math.max(1, tensor.changes());
    }
}
