package dev.adapt.formats.binding;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.adapter.Adapter;
import dev.adapt.formats.io.Sha256;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Stack;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.Shape;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * What an adapter's metadata tell of the base it was trained on: the digest and shape of each layer it adapts, or, where
 * layers have no tensors of their own, of each {@link Stack}, so that they do not grow with the base's depth.
 *
 * <p>Of a layer the digest is its weight's {@link dev.adapt.formats.tensor.TensorDigest}, of a stack SHA-256 over a line of
 * each of its layers, sorted: canonical name, a space, the weight's digest, a newline.
 */
final class BaseRecord {
    /** [out, in] of a layer, [layers, out, in] of a stack. */
    private static final Pattern SHAPE = Pattern.compile("\\[(?:(\\d{1,9}), )?(\\d{1,9}), (\\d{1,9})]");

    /** The most layers that are believed without a base to count them in. */
    private static final int MOST_LAYERS = 4096;

    private BaseRecord() {}

    /**
     * The entries of an adapter.
     *
     * @param digests of each target's weight, by canonical name; empty where they are not known
     */
    static Map<String, String> of(AdapterMethod method, List<Target> targets, Map<String, String> digests) {
        Map<String, String> entries = new TreeMap<>();
        groups(method, targets).forEach((group, layers) -> entries.putAll(of(group, layers, digests)));
        return entries;
    }

    /** Metadata in which entries of layers stand in the place of those of stacks. */
    static Map<String, String> byLayer(
            Map<String, String> metadata, List<Target> targets, Map<String, String> digests) {
        Map<String, String> byLayer = new TreeMap<>(metadata);
        boolean stacks = byLayer.keySet()
                .removeIf(key -> Stream.of(Adapter.BASE_SHAPE, Adapter.BASE_SHA256)
                        .anyMatch(entry ->
                                key.startsWith(entry) && new Stack(key.substring(entry.length())).isNumbered()));
        if (stacks) {
            targets.forEach(target -> byLayer.putAll(of(new Stack(target.module()), List.of(target), digests)));
        }
        return byLayer;
    }

    private static Map<String, String> of(Stack group, List<Target> layers, Map<String, String> digests) {
        Map<String, String> entries = new TreeMap<>();
        Target first = layers.getFirst();
        Shape shape = group.isNumbered()
                ? Shape.of(layers.size(), first.out(), first.in())
                : Shape.of(first.out(), first.in());
        entries.put(Adapter.BASE_SHAPE + group.name(), shape.toString());
        digest(group, layers, digests)
                .ifPresent(digest -> entries.put(Adapter.BASE_SHA256 + canonical(group, layers), digest));
        return entries;
    }

    /**
     * Compares what an adapter records with the base at hand.
     *
     * @param digests of each target's weight in this base, by canonical name
     * @throws FormatException if it was trained on another
     */
    static void check(Adapter adapter, List<Target> targets, Map<String, String> digests) {
        groups(adapter.method(), targets).forEach((group, layers) -> {
            String name = canonical(group, layers);
            String trained = adapter.metadata().get(Adapter.BASE_SHA256 + name);
            String found = digest(group, layers, digests).orElse("");
            if (trained != null && !trained.equals(found)) {
                String what = group.isNumbered()
                        ? "the layers " + name + " had SHA-256 " + brief(trained) + ", in this base they have "
                        : layers.getFirst().tensor() + " had SHA-256 " + brief(trained) + ", in this base it has ";
                throw new FormatException(
                        adapter.file(),
                        "was trained on another base: there " + what + brief(found)
                                + "; give the base it was trained on, or --force to go on all the same");
            }
        });
    }

    /** The layers that a module of an adapter's file means, as far as its own folder tells; none where it does not. */
    static List<Target> layers(Adapter adapter, String module) {
        Optional<Shape> shape =
                recorded(adapter, module).or(() -> adapter.layerShape(module).filter(layer -> layer.rank() == 2));
        if (shape.filter(own -> own.dims().stream().anyMatch(dim -> dim > Integer.MAX_VALUE))
                .isPresent()) {
            throw new FormatException(
                    adapter.file(),
                    module,
                    "its tensors say that the layer is " + shape.get() + ", larger than a layer may be");
        }
        Stack stack = new Stack(module);
        int numbered = shape.filter(own -> own.rank() == 3)
                .map(own -> (int) own.dim(0))
                .orElse(0);
        if (stack.isNumbered() && numbered > MOST_LAYERS) {
            throw new FormatException(
                    adapter.file(),
                    Adapter.BASE_SHAPE + module,
                    "expected at most " + MOST_LAYERS + " layers, found " + numbered);
        }
        return shape.stream()
                .flatMap(own -> IntStream.range(0, stack.isNumbered() ? numbered : 1)
                        .mapToObj(layer -> target(stack.layer(String.valueOf(layer)), own)))
                .toList();
    }

    private static Optional<Shape> recorded(Adapter adapter, String module) {
        return Optional.ofNullable(adapter.metadata().get(Adapter.BASE_SHAPE + module))
                .map(SHAPE::matcher)
                .filter(Matcher::matches)
                .map(found -> Shape.of(IntStream.rangeClosed(1, 3)
                        .mapToObj(found::group)
                        .filter(dim -> dim != null)
                        .mapToLong(Long::parseLong)
                        .toArray()));
    }

    private static Target target(String module, Shape shape) {
        int rank = shape.rank();
        return new Target(module, module, module, (int) shape.dim(rank - 2), (int) shape.dim(rank - 1), false);
    }

    /** A group for each layer, or for each stack where layers have nothing of their own. */
    private static SequencedMap<Stack, List<Target>> groups(AdapterMethod method, List<Target> targets) {
        SequencedMap<Stack, List<Target>> groups = new LinkedHashMap<>();
        for (Target target : targets) {
            Stack group = method.sharesStacks(target) ? target.stack() : new Stack(target.module());
            groups.computeIfAbsent(group, absent -> new ArrayList<>()).add(target);
        }
        return groups;
    }

    /**
     * The name that a group's digest is stored under. Experts with tensors of their own have no canonical name in common: theirs
     * is the adapter's name for the stack.
     */
    private static String canonical(Stack group, List<Target> layers) {
        Target first = layers.getFirst();
        boolean apart = layers.stream().anyMatch(layer -> !layer.canonical().equals(first.canonical()));
        if (apart && !group.isNumbered()) {
            return group.name();
        }
        return group.isNumbered() ? Stack.of(first.canonical()).name() : first.canonical();
    }

    private static Optional<String> digest(Stack group, List<Target> layers, Map<String, String> digests) {
        if (!layers.stream().map(Target::canonical).allMatch(digests::containsKey)) {
            return Optional.empty();
        }
        List<String> names =
                layers.stream().map(Target::canonical).distinct().sorted().toList();
        if (!group.isNumbered() && names.size() == 1) {
            return Optional.ofNullable(digests.get(names.getFirst()));
        }
        StringBuilder lines = new StringBuilder();
        names.forEach(layer ->
                lines.append(layer).append(' ').append(digests.get(layer)).append('\n'));
        return Optional.of(Sha256.hex(lines.toString().getBytes(StandardCharsets.UTF_8)));
    }

    static String brief(String digest) {
        return digest.length() < 12 ? digest : digest.substring(0, 12) + "…";
    }
}
