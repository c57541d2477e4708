package dev.adapt.formats.method;

import dev.adapt.formats.tensor.Shape;
import java.util.Optional;

/**
 * A tensor of an adapter.
 *
 * @param name its key after the module's name, or, where all layers share it, after {@code base_model.}
 * @param group of layers, where not all share one: what follows the name in the key
 * @param scope who shares it
 * @param trained whether training changes it; otherwise it stays as it began
 * @param stored whether the adapter's file holds it; otherwise it is regenerated
 */
public record Part(
        String name,
        Optional<String> group,
        Shape shape,
        Initial initial,
        Scope scope,
        boolean trained,
        boolean stored) {
    /** The layers that share a part. */
    public enum Scope {
        /** One layer has it alone. */
        LAYER,
        /** All adapted layers of a {@link Stack}. */
        STACK,
        /** All adapted layers. */
        ALL
    }

    /** A part that no group has alone. */
    public Part(String name, Shape shape, Initial initial, Scope scope, boolean trained, boolean stored) {
        this(name, Optional.empty(), shape, initial, scope, trained, stored);
    }

    /** Its name, with that of its group. */
    public String fullName() {
        return group.map(own -> name + "." + own).orElse(name);
    }

    /** A part that belongs to one layer and is trained and stored. */
    public static Part trained(String name, Shape shape, Initial initial) {
        return new Part(name, shape, initial, Scope.LAYER, true, true);
    }

    /** A part that the layers of a stack share and that is trained and stored. */
    public static Part ofStack(String name, Shape shape, Initial initial) {
        return new Part(name, shape, initial, Scope.STACK, true, true);
    }

    /** Its name among an adapter's regenerated parts: with its module's, where a layer has it alone. */
    public String id(Target target) {
        return scope == Scope.LAYER ? target.module() + "." + name : fullName();
    }

    /** A part that belongs to one layer and is neither trained nor regenerated. */
    public static Part frozen(String name, Shape shape, Initial initial) {
        return new Part(name, shape, initial, Scope.LAYER, false, true);
    }

    /** A part that belongs to one layer and follows from the base. */
    public static Part ofBase(String name, Shape shape, Initial.OfBase initial) {
        return new Part(name, shape, initial, Scope.LAYER, false, false);
    }

    /** A part that all layers share and the method regenerates. */
    public static Part regenerated(String name, Shape shape, boolean stored) {
        return new Part(name, shape, new Initial.Regenerated(), Scope.ALL, false, stored);
    }
}
