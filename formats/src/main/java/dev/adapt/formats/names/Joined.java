package dev.adapt.formats.names;

import java.util.Optional;

/** Modules that one tensor can hold together. */
final class Joined {
    private static final String NUMBER = "*";

    private Joined() {}

    /**
     * A module that is such a part.
     *
     * @param prefix of its name and of the holder's
     * @param expert its number, 0 where the pattern has none
     */
    record Part(String prefix, int expert) {}

    /** The part that a module is, by a pattern of the end of its name: {@code experts.*.gate_proj}. */
    static Optional<Part> part(String module, String pattern) {
        int star = pattern.indexOf(NUMBER);
        if (star < 0) {
            return endsWith(module, pattern)
                    ? Optional.of(new Part(module.substring(0, module.length() - pattern.length()), 0))
                    : Optional.empty();
        }
        String after = pattern.substring(star + 1);
        if (!module.endsWith(after)) {
            return Optional.empty();
        }
        String rest = module.substring(0, module.length() - after.length());
        int dot = rest.lastIndexOf('.');
        String number = rest.substring(dot + 1);
        String before = pattern.substring(0, star);
        String head = rest.substring(0, dot + 1);
        boolean expert =
                !number.isEmpty() && number.length() < 6 && number.chars().allMatch(Character::isDigit);
        return expert && endsWith(head, before)
                ? Optional.of(new Part(head.substring(0, head.length() - before.length()), Integer.parseInt(number)))
                : Optional.empty();
    }

    /** What stands before a tensor's name that holds parts; empty where the module is not such a tensor. */
    static Optional<String> prefix(String module, String holder) {
        return endsWith(module, holder)
                ? Optional.of(module.substring(0, module.length() - holder.length()))
                : Optional.empty();
    }

    /** The part of one expert; a pattern without a number has it of the first one only. */
    static String numbered(String pattern, int expert) {
        return pattern.contains(NUMBER)
                ? pattern.replace(NUMBER, String.valueOf(expert))
                : pattern + (expert == 0 ? "" : ".");
    }

    private static boolean endsWith(String name, String end) {
        return name.endsWith(end)
                && (name.length() == end.length() || name.charAt(name.length() - end.length() - 1) == '.');
    }
}
