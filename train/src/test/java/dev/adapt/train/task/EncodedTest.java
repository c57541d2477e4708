package dev.adapt.train.task;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.train.data.Batch;
import dev.adapt.train.data.Sequence;
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
        List<Sequence> sequences = new ArrayList<>();
        List<Integer> classes = new ArrayList<>();
        for (int i = 0; i < COUNT; i++) {
            long[] own = new long[3 + random.nextInt(58)];
            Arrays.fill(own, i + 1);
            sequences.add(new Sequence(own));
            classes.add(i);
        }
        return new Encoded(sequences, Encoded.classes(classes), new Sequence.Padding(0, false), 128);
    }

    @Test
    @DisplayName("hold every example once, each with its own class, padded with zeros under a zero mask")
    void everyExampleOnce() {
        Encoded examples = examples();
        List<Long> seen = new ArrayList<>();
        for (List<Integer> indices : examples.shuffled(32, new Random(2))) {
            Batch batch = examples.batch(indices);
            LongTensor ids = integers(batch.inputs().get("input_ids"));
            LongTensor mask = integers(batch.inputs().get("attention_mask"));
            LongTensor classes = integers(batch.goals());
            assertEquals(ids.shape(), mask.shape());
            int width = (int) ids.shape().dim(1);
            for (int row = 0; row < batch.size(); row++) {
                long example = classes.values()[row];
                seen.add(example);
                int length = examples.length((int) example);
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
                .flatMap(List::stream)
                .mapToLong(Integer::longValue)
                .toArray();
    }

    private static LongTensor integers(Tensor tensor) {
        return (LongTensor) Objects.requireNonNull(tensor);
    }

    @Test
    @DisplayName("are padded far less than unsorted ones would be")
    void littlePadding() {
        Encoded examples = examples();
        long real = examples.sequences().stream().mapToLong(Sequence::length).sum();
        long padded = examples.shuffled(32, new Random(3)).stream()
                .mapToLong(indices -> examples.batch(indices)
                        .inputs()
                        .get("input_ids")
                        .shape()
                        .elements())
                .sum();
        // unsorted, nearly every batch of 32 would be near the longest, 60 for a mean of 31.5
        assertTrue(padded < real * 1.15, padded + " tokens for " + real);
    }
}
