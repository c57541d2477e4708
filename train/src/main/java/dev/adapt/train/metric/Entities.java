package dev.adapt.train.metric;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * Entities in a sentence, by the labels of its words.
 *
 * <p>A label is {@code O} outside of entities, else a mark, a hyphen and the type of an entity: {@code B} begins one,
 * {@code I} and {@code E} go on with one of their type or begin one, {@code S} is one of its own (Ramshaw and Marcus, 1995, as
 * the CoNLL tasks evaluate it). A label without a mark counts as {@code I}.
 */
public final class Entities {
    /** The label of words outside of entities. */
    public static final String OUTSIDE = "O";

    private static final String MARKS = "BIES";

    private Entities() {}

    /**
     * An entity.
     *
     * @param first its first word, from 0
     * @param end the word after its last
     */
    public record Entity(String type, int first, int end) {}

    /** The entities of a sentence, in their order. */
    public static List<Entity> of(List<String> labels) {
        List<Entity> entities = new ArrayList<>();
        String open = "";
        int first = 0;
        for (int i = 0; i <= labels.size(); i++) {
            String label = i < labels.size() ? labels.get(i) : OUTSIDE;
            char mark = mark(label);
            String type = type(label, mark);
            boolean goesOn = !open.isEmpty() && type.equals(open) && mark != 'B' && mark != 'S';
            if (!open.isEmpty() && !goesOn) {
                entities.add(new Entity(open, first, i));
                open = "";
            }
            if (!type.isEmpty() && !goesOn) {
                open = type;
                first = i;
            }
            if (!open.isEmpty() && (mark == 'E' || mark == 'S')) {
                entities.add(new Entity(open, first, i + 1));
                open = "";
            }
        }
        return entities;
    }

    private static char mark(String label) {
        boolean marked = label.length() > 2 && label.charAt(1) == '-' && MARKS.indexOf(label.charAt(0)) >= 0;
        return marked ? label.charAt(0) : 'I';
    }

    private static String type(String label, char mark) {
        if (label.equals(OUTSIDE)) {
            return "";
        }
        return label.length() > 2 && label.charAt(1) == '-' && label.charAt(0) == mark ? label.substring(2) : label;
    }

    /** How many entities are there, are predicted, and are both. */
    public static final class Count {
        private long there;
        private long predicted;
        private long right;

        /** Nothing is counted yet. */
        public Count() {}

        public void add(List<String> truth, List<String> prediction) {
            Set<Entity> expected = new HashSet<>(of(truth));
            List<Entity> found = of(prediction);
            there += expected.size();
            predicted += found.size();
            right += found.stream().filter(expected::contains).count();
        }

        /** See {@link Metric#ENTITY_F1}; 0 where there are none and none are predicted. */
        public double f1() {
            return there + predicted == 0 ? 0 : 2.0 * right / (there + predicted);
        }
    }
}
