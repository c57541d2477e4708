package dev.adapt.cli;

import dev.adapt.formats.lors.StackedModel;
import dev.adapt.merge.lowrank.Decomposition;
import java.util.Locale;

/** What a checkpoint lost, and saved, when it became a model whose layers share weights. */
record DecompositionReport(Decomposition decomposition) {
    /** A table of its stacks, and the whole. */
    String text() {
        TextTable table = new TextTable(
                "stack", "layers", "out", "in", "mean error", "largest error", "plain", "in the stack", "saved");
        for (Decomposition.OfStack stack : decomposition.stacks()) {
            table.row(
                    stack.name(),
                    stack.errors().size(),
                    stack.out(),
                    stack.in(),
                    ConvertCommand.number(stack.errors().stream()
                            .mapToDouble(Double::doubleValue)
                            .average()
                            .orElse(0)),
                    ConvertCommand.number(stack.errors().stream()
                            .mapToDouble(Double::doubleValue)
                            .max()
                            .orElse(0)),
                    count(stack.plain()),
                    count(stack.parameters()),
                    percent(1 - (double) stack.parameters() / stack.plain()));
        }
        StackedModel whole = decomposition.whole();
        return table
                + String.format(
                        Locale.ROOT,
                        "error: ‖W − Ŵ‖/‖W‖ of a layer; the whole model has %,d parameters in the place of %,d%n",
                        whole.parameters(),
                        whole.plainParameters());
    }

    private static String count(long number) {
        return String.format(Locale.ROOT, "%,d", number);
    }

    private static String percent(double share) {
        return String.format(Locale.ROOT, "%.1f %%", 100 * share);
    }
}
