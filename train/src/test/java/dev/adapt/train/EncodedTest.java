package dev.adapt.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.tensor.LongTensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("Batches of tokenized examples")
class EncodedTest {
    private static final int COUNT = 1000;

    /** Example i has the one class i, and a length of 3 to 60. */
    private static Encoded examples() {
        Random random = new Random(1);
        List<long[]> ids = new ArrayList<>();
        List<Integer> classes = new ArrayList<>();
        for (int i = 0; i < COUNT; i++) {
            long[] own = new long[3 + random.nextInt(58)];
            Arrays.fill(own, i + 1);
            ids.add(own);
            classes.add(i);
        }
        return new Encoded(ids, classes);
    }

    @Test
    @DisplayName("hold every example once, each with its own class, padded with zeros under a zero mask")
    void everyExampleOnce() {
        Encoded examples = examples();
        List<Long> seen = new ArrayList<>();
        for (Encoded.Batch batch : examples.shuffled(32, new Random(2))) {
            LongTensor ids = Objects.requireNonNull(batch.inputs().get("input_ids"));
            LongTensor mask = Objects.requireNonNull(batch.inputs().get("attention_mask"));
            assertEquals(ids.shape(), mask.shape());
            int width = (int) ids.shape().dim(1);
            for (int row = 0; row < batch.classes().length; row++) {
                long example = batch.classes()[row];
                seen.add(example);
                int length = examples.ids().get((int) example).length;
                for (int i = 0; i < width; i++) {
                    assertEquals(i < length ? example + 1 : 0, ids.values()[row * width + i]);
                    assertEquals(i < length ? 1 : 0, mask.values()[row * width + i]);
                }
            }
        }
        Collections.sort(seen);
        assertEquals(COUNT, seen.size());
        assertEquals(COUNT, seen.stream().distinct().count());
    }

    @Test
    @DisplayName("come in an order that the seed decides")
    void seedDecides() {
        assertArrayEquals(order(5), order(5));
        assertNotEquals(Arrays.toString(order(5)), Arrays.toString(order(6)));
    }

    private static long[] order(long seed) {
        return examples().shuffled(32, new Random(seed)).stream()
                .flatMapToLong(batch -> Arrays.stream(batch.classes()))
                .toArray();
    }

    @Test
    @DisplayName("are padded far less than unsorted ones would be")
    void littlePadding() {
        Encoded examples = examples();
        long real = examples.ids().stream().mapToLong(ids -> ids.length).sum();
        long padded = examples.shuffled(32, new Random(3)).stream()
                .mapToLong(batch -> batch.inputs().get("input_ids").shape().elements())
                .sum();
        // unsorted, nearly every batch of 32 would be near the longest, 60 for a mean of 31.5
        assertTrue(padded < real * 1.15, padded + " tokens for " + real);
    }
}
