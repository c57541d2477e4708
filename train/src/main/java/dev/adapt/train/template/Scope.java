package dev.adapt.train.template;

import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/** Names with values. What is set in a scope ends with it; what is outside can be read. */
final class Scope {
    private final Map<String, Value> names = new HashMap<>();
    private final Optional<Scope> outside;

    private Scope(Optional<Scope> outside) {
        this.outside = outside;
    }

    static Scope outermost() {
        return new Scope(Optional.empty());
    }

    Scope inner() {
        return new Scope(Optional.of(this));
    }

    void set(String name, Value value) {
        names.put(name, value);
    }

    Optional<Value> find(String name) {
        Optional<Scope> scope = Optional.of(this);
        while (scope.isPresent()) {
            Optional<Value> value = Optional.ofNullable(scope.get().names.get(name));
            if (value.isPresent()) {
                return value;
            }
            scope = scope.get().outside;
        }
        return Optional.empty();
    }
}
