package dev.adapt.formats.checkpoint;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * The names of the weights' files in a checkpoint folder.
 *
 * @param stem what they begin with
 */
public record WeightFiles(String stem) {
    /** The names that transformers gives them. */
    public static final WeightFiles TRANSFORMERS = new WeightFiles("model");

    private static final WeightFiles DIFFUSERS = new WeightFiles("diffusion_pytorch_model");

    private static final List<WeightFiles> ALL = List.of(TRANSFORMERS, DIFFUSERS);

    /** The names in a folder; where it has several sets of weights, those of transformers; where it has none, those too. */
    static WeightFiles in(Path folder) {
        return ALL.stream()
                .filter(names ->
                        Files.exists(folder.resolve(names.single())) || Files.exists(folder.resolve(names.index())))
                .findFirst()
                .orElse(TRANSFORMERS);
    }

    /** The names of all indices of shards. */
    public static Set<String> indices() {
        return ALL.stream().map(WeightFiles::index).collect(Collectors.toUnmodifiableSet());
    }

    /** Whether a name is that of weights that are not sharded. */
    public static boolean isSingle(String name) {
        return ALL.stream().anyMatch(names -> names.single().equals(name));
    }

    /** The file of a folder that is not sharded. */
    String single() {
        return stem + ".safetensors";
    }

    /** The index of a sharded folder. */
    public String index() {
        return single() + ".index.json";
    }

    /** The file of one shard, counted from 0. */
    String shard(int shard, int of) {
        return of == 1 ? single() : String.format(Locale.ROOT, "%s-%05d-of-%05d.safetensors", stem, shard + 1, of);
    }
}
