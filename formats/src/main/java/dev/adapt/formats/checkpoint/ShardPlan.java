package dev.adapt.formats.checkpoint;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;

/**
 * Which tensors go to which file. The split is that of huggingface_hub: tensors are taken in their order, a shard is
 * closed when the next one would not fit, and a tensor above the limit gets a shard of its own.
 *
 * @param shards tensor names by file name, both in order; one file has the name of an unsharded checkpoint
 */
public record ShardPlan(SequencedMap<String, List<String>> shards) {
    /**
     * Splits tensors.
     *
     * @param bytes each tensor's size, in the order in which they are taken
     * @param maxBytes the most that a shard's tensors have together, unless it holds only one
     * @param names what the files are called
     * @throws IllegalArgumentException if the limit is not positive
     */
    public static ShardPlan split(SequencedMap<String, Long> bytes, long maxBytes, WeightFiles names) {
        if (maxBytes <= 0) {
            throw new IllegalArgumentException("a shard of at most " + maxBytes + " bytes");
        }
        List<List<String>> closed = new ArrayList<>();
        List<String> open = new ArrayList<>();
        long size = 0;
        for (Map.Entry<String, Long> tensor : bytes.entrySet()) {
            long own = tensor.getValue();
            if (own > maxBytes) {
                closed.add(List.of(tensor.getKey()));
                continue;
            }
            if (own > maxBytes - size) {
                closed.add(open);
                open = new ArrayList<>();
                size = 0;
            }
            open.add(tensor.getKey());
            size += own;
        }
        if (!open.isEmpty() || closed.isEmpty()) {
            closed.add(open);
        }
        SequencedMap<String, List<String>> shards = new LinkedHashMap<>();
        for (int i = 0; i < closed.size(); i++) {
            shards.put(names.shard(i, closed.size()), List.copyOf(closed.get(i)));
        }
        return new ShardPlan(shards);
    }

    /** Whether there is more than one file, so that an index is needed. */
    public boolean sharded() {
        return shards.size() > 1;
    }

    /** Each tensor's file: what the index says. */
    public SequencedMap<String, String> weightMap() {
        SequencedMap<String, String> map = new LinkedHashMap<>();
        shards.forEach((file, tensors) -> tensors.forEach(tensor -> map.put(tensor, file)));
        return map;
    }
}
