package dev.adapt.formats.model;

import dev.adapt.formats.adapter.BoundAdapter;
import dev.adapt.formats.checkpoint.Checkpoint;
import dev.adapt.formats.graph.Architecture;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.method.Target;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * A model whose layers share weights (LORS) as a plain checkpoint and an update of it, which a merge makes one: in the checkpoint each layer
 * of a stack has the stack's weight, all of them the same bytes of the file.
 *
 * @param update what is each layer's own
 */
public record Expansion(Checkpoint shared, BoundAdapter update) implements AutoCloseable {
    /**
     * Opens a folder that holds a model whose layers share weights.
     *
     * @throws dev.adapt.formats.FormatException if a file is broken, or its tensors are not those that its configs call for
     */
    @SuppressWarnings("MustBeClosedChecker") // closed by whoever closes what is returned
    public static Expansion open(Path folder) throws IOException {
        WholeModel.Opened opened = WholeModel.open(folder);
        ModelConfig config = opened.whole().config();
        BoundAdapter stacks = opened.whole().adapter();
        Map<String, List<String>> names = new TreeMap<>();
        stacks.weightKeys().forEach((weight, key) -> name(names, key, config, weight));
        stacks.saved().keySet().forEach(name -> name(names, stacks.savedKey(name), config, name));
        List<Target> targets =
                stacks.targets().stream().map(target -> named(config, target)).toList();
        return new Expansion(
                Checkpoint.named(folder, opened.file().tensors(), config.document(), names),
                new BoundAdapter(
                        stacks.method(),
                        targets,
                        stacks.tensors(),
                        Map.of(),
                        Map.of(),
                        stacks.change(),
                        stacks.baseDigests()));
    }

    private static void name(Map<String, List<String>> names, String key, ModelConfig config, String canonical) {
        names.computeIfAbsent(key, absent -> new ArrayList<>()).add(Architecture.checkpointName(config, canonical));
    }

    private static Target named(ModelConfig config, Target target) {
        return new Target(
                target.module(),
                target.canonical(),
                Architecture.checkpointName(config, target.canonical() + ".weight"),
                target.out(),
                target.in(),
                target.transposed());
    }

    @Override
    public void close() {
        shared.close();
    }
}
