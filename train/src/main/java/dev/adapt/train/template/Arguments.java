package dev.adapt.train.template;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What a call passes.
 *
 * @param called the name of what is called
 */
record Arguments(String called, List<Value> positional, Map<String, Value> named) {
    /**
     * Gives each argument its name.
     *
     * @param names of the parameters, in order
     */
    Bound bind(String... names) {
        if (positional.size() > names.length) {
            throw new TemplateFault(
                    called + " takes at most " + names.length + " arguments and is given " + positional.size());
        }
        Map<String, Value> values = new LinkedHashMap<>();
        for (int i = 0; i < positional.size(); i++) {
            values.put(names[i], positional.get(i));
        }
        named.forEach((name, value) -> {
            if (!List.of(names).contains(name) || values.putIfAbsent(name, value) != null) {
                throw new TemplateFault(called + " takes no argument '" + name + "', or is given it twice");
            }
        });
        return new Bound(called, values);
    }

    /** All but the first {@code count} positional arguments, for {@code name}. */
    Arguments rest(String name, int count) {
        return new Arguments(name, positional.subList(count, positional.size()), named);
    }

    /** Arguments by name. */
    record Bound(String called, Map<String, Value> values) {
        Optional<Value> get(String name) {
            return Optional.ofNullable(values.get(name));
        }

        Value need(String name) {
            return get(name).orElseThrow(() -> new TemplateFault(called + " needs an argument '" + name + "'"));
        }

        /** A text, where it is given and not none. */
        Optional<String> text(String name) {
            return given(name).map(value -> {
                if (value instanceof Value.Text text) {
                    return text.text();
                }
                throw new TemplateFault(called + " needs a text as '" + name + "', not " + Operators.described(value));
            });
        }

        String needText(String name) {
            need(name);
            return text(name).orElseThrow(() -> new TemplateFault(called + " needs a text as '" + name + "'"));
        }

        /** An integer that fits 32 bits, or {@code preset} where none is given. */
        int integer(String name, int preset) {
            return given(name).map(Operators::index).orElse(preset);
        }

        boolean flag(String name) {
            return get(name).map(Operators::truth).orElse(false);
        }

        private Optional<Value> given(String name) {
            return get(name).filter(value -> value != Value.None.NONE);
        }
    }
}
