package dev.adapt.verify.diagnosis;

import java.util.List;
import java.util.Locale;
import java.util.SequencedSet;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** Names of tensors in few words. */
final class Summaries {
    private static final Pattern NUMBER = Pattern.compile("(?:^|\\.)(\\d+)\\.");
    private static final int SHOWN = 3;

    private Summaries() {}

    /** One tensor by its name, more by the first and their number. */
    static String of(List<String> names) {
        if (names.size() <= SHOWN) {
            return String.join(", ", names) + (names.size() > 1 ? layers(names) : "");
        }
        return names.getFirst() + " and " + (names.size() - 1) + " more tensors" + layers(names);
    }

    /** The layers they lie in, where these are one or a few: {@code (layer 3)}. */
    static String layers(List<String> names) {
        SequencedSet<Integer> layers = new TreeSet<>();
        for (String name : names) {
            int layer = layer(name);
            if (layer < 0) {
                return "";
            }
            layers.add(layer);
        }
        if (layers.size() == 1) {
            return " (layer " + layers.getFirst() + ")";
        }
        return layers.size() > 6
                ? ""
                : " (layers " + layers.stream().map(Object::toString).collect(Collectors.joining(", ")) + ")";
    }

    /** A number in few digits: {@code 2}, {@code 0.5}, {@code 1.414}. */
    static String number(double value) {
        return value == Math.rint(value) && Math.abs(value) < 1e6
                ? String.format(Locale.ROOT, "%.0f", value)
                : String.format(Locale.ROOT, "%.4g", value)
                        .replaceFirst("(\\.\\d*?)0+$", "$1")
                        .replaceFirst("\\.$", "");
    }

    /** The number of the layer that a tensor or module belongs to, −1 for none. */
    static int layer(String name) {
        Matcher number = NUMBER.matcher(name);
        return number.find() && number.group(1).length() < 7 ? Integer.parseInt(number.group(1)) : -1;
    }
}
