package dev.adapt.formats.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.SequencedMap;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@DisplayName("Tensors are split into shards")
class ShardPlanTest {
    @Test
    @DisplayName("as huggingface_hub's documentation shows: in order, closed when the next does not fit")
    void documented() {
        ShardPlan plan = ShardPlan.split(sizes(6, 6, 2, 6, 2, 2), 10, WeightFiles.TRANSFORMERS);
        assertEquals(
                Map.of(
                        "model-00001-of-00003.safetensors", List.of("t0"),
                        "model-00002-of-00003.safetensors", List.of("t1", "t2"),
                        "model-00003-of-00003.safetensors", List.of("t3", "t4", "t5")),
                plan.shards());
        assertEquals("model-00002-of-00003.safetensors", plan.weightMap().get("t2"));
        assertTrue(plan.sharded());
    }

    @Test
    @DisplayName("a tensor above the limit gets a shard of its own, and the open shard goes on")
    void tooLarge() {
        assertEquals(
                List.of(List.of("t1"), List.of("t0", "t2")),
                List.copyOf(ShardPlan.split(sizes(3, 11, 4), 10, WeightFiles.TRANSFORMERS)
                        .shards()
                        .values()));
    }

    @Test
    @DisplayName("what fits into one shard is not sharded, and neither is nothing")
    void single() {
        assertEquals(
                Map.of("model.safetensors", List.of("t0", "t1")),
                ShardPlan.split(sizes(5, 5), 10, WeightFiles.TRANSFORMERS).shards());
        assertFalse(ShardPlan.split(sizes(), 10, WeightFiles.TRANSFORMERS).sharded());
        assertThrows(IllegalArgumentException.class, () -> ShardPlan.split(sizes(1), 0, WeightFiles.TRANSFORMERS));
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5})
    @DisplayName("every tensor lies in one shard, and no shard of several is above the limit")
    void properties(long seed) {
        Random random = new Random(seed);
        SequencedMap<String, Long> sizes = sizes(random.longs(200, 0, 60).toArray());
        ShardPlan plan = ShardPlan.split(sizes, 50, WeightFiles.TRANSFORMERS);
        assertEquals(sizes.keySet(), plan.weightMap().keySet());
        assertEquals(
                sizes.size(),
                plan.shards().values().stream().mapToInt(List::size).sum());
        for (List<String> shard : plan.shards().values()) {
            assertTrue(shard.size() == 1 || shard.stream().mapToLong(sizes::get).sum() <= 50);
        }
    }

    private static SequencedMap<String, Long> sizes(long... sizes) {
        SequencedMap<String, Long> map = new LinkedHashMap<>();
        for (int i = 0; i < sizes.length; i++) {
            map.put("t" + i, sizes[i]);
        }
        return map;
    }
}
