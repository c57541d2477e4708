package dev.adapt.cli;

import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** What a user may have meant by a name that does not exist. */
final class Similar {
    private Similar() {}

    /** The names that fewest edits make of a word, if these are fewer than half of its letters. */
    static List<String> to(String word, Collection<String> names) {
        TreeMap<Integer, List<String>> byEdits = new TreeMap<>();
        for (String name : names) {
            byEdits.merge(
                    edits(word, name), List.of(name), (left, right) -> List.of(left.getFirst(), right.getFirst()));
        }
        Map.Entry<Integer, List<String>> best = byEdits.firstEntry();
        return best != null && best.getKey() * 2 < word.replace("-", "").length() ? best.getValue() : List.of();
    }

    /** The end of an error's sentence. */
    static String question(List<String> names) {
        return names.isEmpty() ? "" : "; did you mean " + String.join(" or ", names) + "?";
    }

    /** The least number of letters to insert, delete, replace or swap with their neighbour. */
    private static int edits(String from, String to) {
        int[][] least = new int[from.length() + 1][to.length() + 1];
        for (int i = 0; i <= from.length(); i++) {
            for (int j = 0; j <= to.length(); j++) {
                if (i == 0 || j == 0) {
                    least[i][j] = i + j;
                    continue;
                }
                int replaced = least[i - 1][j - 1] + (from.charAt(i - 1) == to.charAt(j - 1) ? 0 : 1);
                least[i][j] = Math.min(replaced, 1 + Math.min(least[i - 1][j], least[i][j - 1]));
                boolean swapped = i > 1
                        && j > 1
                        && from.charAt(i - 1) == to.charAt(j - 2)
                        && from.charAt(i - 2) == to.charAt(j - 1);
                if (swapped) {
                    least[i][j] = Math.min(least[i][j], 1 + least[i - 2][j - 2]);
                }
            }
        }
        return least[from.length()][to.length()];
    }
}
