package dev.adapt.cli.train;

import com.fasterxml.jackson.databind.node.TextNode;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** The recipe of a training run: all of its options as YAML, which {@code --config} reads. */
final class TrainedRecipe {
    /** Options that are not about what is trained. */
    static final List<String> LEFT_OUT =
            List.of("--config", "--overwrite", "--resume", "--checkpoint-every", "--quiet", "--no-color");

    private TrainedRecipe() {}

    /**
     * The recipe as text.
     *
     * @param options values by long name; a list of several values is written as a list, a flag's list is {@code [true]}
     */
    static String text(Map<String, ?> options) {
        StringBuilder text = new StringBuilder("# adapt train --config recipe.yaml\n");
        options.forEach((name, value) ->
                text.append(name).append(": ").append(value(value)).append('\n'));
        return text.toString();
    }

    private static String value(Object value) {
        return switch (value) {
            case List<?> one when one.size() == 1 -> value(one.getFirst());
            case List<?> list -> list.stream().map(TrainedRecipe::value).collect(Collectors.joining(", ", "[", "]"));
            case Number number -> number.toString();
            default -> scalar(value.toString());
        };
    }

    /** What YAML could read as something else is quoted; JSON's quotes are YAML's too. */
    private static String scalar(String text) {
        boolean plain = text.equals("true")
                || text.matches("-?\\d+(\\.\\d+)?")
                || (text.matches("[A-Za-z_./][A-Za-z0-9_./-]*")
                        && !text.matches("(?i)true|false|yes|no|on|off|null|[yn]"));
        return plain ? text : TextNode.valueOf(text).toString();
    }
}
