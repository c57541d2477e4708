package dev.adapt.formats.lors;

import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.method.Target;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.UnaryOperator;

/**
 * A model whose layers share weights as a plain checkpoint and changes of it, which a merge adds: in the checkpoint each layer of a stack has
 * the stack's weight, all of them the same bytes of the file.
 *
 * @param residuals what each layer adds to the weight it shares
 */
public record Expansion(Checkpoint shared, Stacks residuals) implements AutoCloseable {
    /**
     * Opens a folder that holds a model whose layers share weights.
     *
     * @throws dev.adapt.formats.FormatException if a file is broken, or its tensors are not those that its configs call for
     */
    @SuppressWarnings("MustBeClosedChecker") // closed by whoever closes what is returned
    public static Expansion open(Path folder) throws IOException {
        StackedModel.Opened opened = StackedModel.open(folder);
        StackedModel whole = opened.whole();
        ModelConfig config = whole.config();
        Map<String, List<String>> names = new TreeMap<>();
        UnaryOperator<String> stored = Architectures.checkpointNames(config);
        whole.stacks().sharedKeys().forEach((weight, key) -> name(names, key, stored.apply(weight)));
        whole.others().keySet().forEach(name -> name(names, LorsFolder.key(name), stored.apply(name)));
        List<Target> targets = whole.stacks().targets().stream()
                .map(target -> named(stored, target))
                .toList();
        return new Expansion(
                Checkpoint.named(folder, opened.file(), config.document(), names),
                whole.stacks().with(targets));
    }

    private static void name(Map<String, List<String>> names, String key, String stored) {
        names.computeIfAbsent(key, absent -> new ArrayList<>()).add(stored);
    }

    private static Target named(UnaryOperator<String> stored, Target target) {
        return new Target(
                target.module(),
                target.canonical(),
                stored.apply(target.canonical() + ".weight"),
                target.out(),
                target.in(),
                target.transposed());
    }

    @Override
    public void close() {
        shared.close();
    }
}
