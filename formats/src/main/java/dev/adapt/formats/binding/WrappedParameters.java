package dev.adapt.formats.binding;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.TargetParameters;
import dev.adapt.formats.names.Place;
import dev.adapt.formats.names.TensorNames;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;

/**
 * The parameters that an adapter adapts, and not modules: those of its config's {@code target_parameters}. Its keys name
 * wrappers, {@code experts.base_layer} the first and {@code experts} the last of a module's parameters, and not the
 * parameters.
 *
 * @param names of the parameters, such as {@code experts.gate_up_proj}, by the names of their wrappers
 */
record WrappedParameters(Map<String, String> names) {
    private static final String WEIGHT = ".weight";

    /** Parameters of one module of which all orders are tried. */
    private static final int MOST = 4;

    /**
     * Finds the parameters.
     *
     * @throws FormatException if the config names more or fewer parameters of a module than the adapter has, or nothing tells
     *     which is which
     */
    static WrappedParameters of(Adapter adapter, TensorNames names) {
        TargetParameters parameters = TargetParameters.of(adapter.config());
        if (parameters.entries().isEmpty()) {
            return new WrappedParameters(Map.of());
        }
        Predicate<String> named = adapter.config().document().says("target_modules")
                ? adapter.config().targetModules()::claims
                : module -> false;
        Map<String, TreeMap<Integer, String>> wrappers = new LinkedHashMap<>();
        for (String module : adapter.modules()) {
            if (isWrapper(parameters, named, names, module)) {
                wrappers.computeIfAbsent(TargetParameters.core(module), absent -> new TreeMap<>())
                        .put(-TargetParameters.depth(module), module);
            }
        }
        Map<String, String> found = new LinkedHashMap<>();
        wrappers.forEach((core, byDepth) -> {
            List<String> inside = List.copyOf(byDepth.values());
            List<String> ordered = new Order(adapter, names, core, inside).of(parameters);
            IntStream.range(0, inside.size()).forEach(i -> found.put(inside.get(i), core + "." + ordered.get(i)));
        });
        return new WrappedParameters(found);
    }

    private static boolean isWrapper(
            TargetParameters parameters, Predicate<String> named, TensorNames names, String module) {
        // an entry without a dot names a parameter of any module that has it
        List<String> own = parameters.of(module).stream()
                .filter(name -> !parameters.entries().contains(name)
                        || place(names, TargetParameters.core(module), name).isPresent())
                .toList();
        boolean other = own.stream().anyMatch(name -> !name.equals("weight"));
        return !own.isEmpty() && (other || !named.test(module) || TargetParameters.depth(module) > 0);
    }

    /** Whether a module of the adapter's keys is a wrapper. */
    boolean has(String module) {
        return names.containsKey(module);
    }

    /** The name of the parameter, or the module's own where it is none. */
    String parameter(String module) {
        return names.getOrDefault(module, module);
    }

    /** The module whose weight is adapted, or the parameter that is not called so. */
    String module(String module) {
        String name = parameter(module);
        return name.endsWith(WEIGHT) ? name.substring(0, name.length() - WEIGHT.length()) : name;
    }

    /** The canonical name of what is adapted. */
    UnaryOperator<String> then(UnaryOperator<String> canonical) {
        return module -> canonical.apply(module(module));
    }

    private static Optional<Place> place(TensorNames names, String core, String parameter) {
        String name = core + "." + parameter;
        String module = name.endsWith(WEIGHT) ? core : name;
        return names.places(names.canonical(module)).stream().findFirst();
    }

    /** The parameters of one module, and its wrappers, the first one first. */
    private record Order(Adapter adapter, TensorNames names, String core, List<String> wrappers) {
        List<String> of(TargetParameters parameters) {
            List<String> named = List.copyOf(parameters.of(core));
            List<String> stored =
                    named.stream().filter(name -> place(name).isPresent()).toList();
            List<String> own = stored.isEmpty() ? named : stored;
            if (own.size() != wrappers.size()) {
                throw new FormatException(
                        adapter.file(),
                        core,
                        "has tensors for " + wrappers.size() + " of its parameters, and " + TargetParameters.FIELD
                                + " in " + AdapterConfig.FILE + " names " + own.size() + ": " + String.join(", ", own)
                                + "; get the whole adapter, or correct its config");
            }
            if (own.size() > MOST) {
                throw new FormatException(
                        adapter.file(), core, "adapts " + own.size() + " parameters, expected at most " + MOST);
            }
            List<List<String>> fitting = orders(own).stream().filter(this::fits).toList();
            boolean open = fitting.size() > 1 && !TargetParameters.isOrdered(own);
            if (open) {
                throw new FormatException(
                        adapter.file(),
                        core,
                        "has parameters of one shape, " + String.join(", ", own)
                                + ", and nothing tells which tensors belong to which; adapt each in an adapter of its own");
            }
            return fitting.isEmpty() || fitting.contains(own) ? own : fitting.getFirst();
        }

        private Optional<Place> place(String parameter) {
            return WrappedParameters.place(names, core, parameter);
        }

        private boolean fits(List<String> order) {
            return IntStream.range(0, order.size()).allMatch(i -> {
                Optional<Shape> update = adapter.layerShape(wrappers.get(i));
                Optional<Shape> module = place(order.get(i)).map(Place::module);
                return update.isEmpty() || module.isEmpty() || areAlike(update.get(), module.get());
            });
        }

        private static boolean areAlike(Shape update, Shape module) {
            return update.equals(module) || update.equals(Shape.of(module.dim(1), module.dim(0)));
        }

        private static List<List<String>> orders(List<String> names) {
            if (names.size() < 2) {
                return List.of(names);
            }
            List<List<String>> orders = new ArrayList<>();
            for (String first : names) {
                List<String> rest = new ArrayList<>(names);
                rest.remove(first);
                for (List<String> order : orders(rest)) {
                    List<String> whole = new ArrayList<>(List.of(first));
                    whole.addAll(order);
                    orders.add(whole);
                }
            }
            return orders;
        }
    }
}
