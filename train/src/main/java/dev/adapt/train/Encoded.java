package dev.adapt.train;

import ai.djl.huggingface.tokenizers.Encoding;
import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/**
 * Tokenized examples with their classes, ready to be put into batches.
 *
 * @param ids the token ids of each example, special tokens included
 */
record Encoded(List<long[]> ids, List<Integer> classes) {
    /** Batches of one pass are sorted by length within so many batches, which pads little and mixes well. */
    private static final int BUCKET = 16;

    /**
     * Inputs of equal length, padded on the right.
     *
     * @param classes [batch]
     */
    @SuppressWarnings("ArrayRecordComponent")
    record Batch(Map<String, LongTensor> inputs, long[] classes) {}

    /** Tokenizes a data set with a base's {@code tokenizer.json}, truncating to {@code maxLength} tokens. */
    static Encoded of(Dataset data, List<String> labels, Path base, int maxLength) throws IOException {
        Path file = base.resolve("tokenizer.json");
        if (!Files.exists(file)) {
            throw new NoSuchFileException(
                    file.toString(), null, "does not exist, and texts need the tokenizer of their model");
        }
        List<Integer> classes = data.classes(labels);
        try (HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.builder()
                .optTokenizerPath(file)
                .optTruncation(true)
                .optMaxLength(maxLength)
                .optPadding(false)
                .optAddSpecialTokens(true)
                .build()) {
            List<String> texts = data.examples().stream().map(Example::text).toList();
            Encoding[] encodings = tokenizer.batchEncode(texts);
            return new Encoded(Arrays.stream(encodings).map(Encoding::getIds).toList(), classes);
        }
    }

    int size() {
        return ids.size();
    }

    /** One pass over all examples in an order that the generator decides, each once, neighbours of like length. */
    List<Batch> shuffled(int batchSize, Random random) {
        List<Integer> order = order();
        Collections.shuffle(order, random);
        List<Integer> bucketed = new ArrayList<>();
        for (int from = 0; from < order.size(); from += BUCKET * batchSize) {
            List<Integer> bucket = order.subList(from, Math.min(order.size(), from + BUCKET * batchSize));
            bucket.stream().sorted(byLength()).forEach(bucketed::add);
        }
        List<Batch> batches = cut(bucketed, batchSize);
        Collections.shuffle(batches, random);
        return batches;
    }

    /** All examples by length, for evaluation. */
    List<Batch> byLength(int batchSize) {
        return cut(order().stream().sorted(byLength()).toList(), batchSize);
    }

    private List<Integer> order() {
        List<Integer> order = new ArrayList<>();
        for (int i = 0; i < size(); i++) {
            order.add(i);
        }
        return order;
    }

    private Comparator<Integer> byLength() {
        return Comparator.comparingInt(index -> ids.get(index).length);
    }

    private List<Batch> cut(List<Integer> order, int batchSize) {
        List<Batch> batches = new ArrayList<>();
        for (int from = 0; from < order.size(); from += batchSize) {
            batches.add(batch(order.subList(from, Math.min(order.size(), from + batchSize))));
        }
        return batches;
    }

    private Batch batch(List<Integer> indices) {
        int width =
                indices.stream().mapToInt(index -> ids.get(index).length).max().orElse(0);
        Shape shape = Shape.of(indices.size(), width);
        long[] tokens = new long[indices.size() * width];
        long[] mask = new long[tokens.length];
        for (int row = 0; row < indices.size(); row++) {
            long[] own = ids.get(indices.get(row));
            System.arraycopy(own, 0, tokens, row * width, own.length);
            Arrays.fill(mask, row * width, row * width + own.length, 1);
        }
        Map<String, LongTensor> inputs = new LinkedHashMap<>();
        inputs.put("input_ids", new LongTensor(shape, tokens));
        inputs.put("attention_mask", new LongTensor(shape, mask));
        return new Batch(inputs, indices.stream().mapToLong(classes::get).toArray());
    }
}
