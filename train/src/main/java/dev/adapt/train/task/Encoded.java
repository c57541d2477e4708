package dev.adapt.train.task;

import dev.adapt.formats.FormatException;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.train.data.Batch;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.data.Example;
import dev.adapt.train.data.Examples;
import dev.adapt.train.data.Sequence;
import dev.adapt.train.data.Source;
import dev.adapt.train.data.Text;
import dev.adapt.train.data.Truncation;
import dev.adapt.train.tokenizer.Tokenizer;
import java.io.IOException;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * Tokenized texts, each with one goal: a class or a number.
 *
 * @param goals the goals of some examples, by their numbers
 * @param longest the most tokens of an example
 */
record Encoded(List<Sequence> sequences, Function<List<Integer>, Tensor> goals, Sequence.Padding padding, int longest)
        implements Examples {
    /**
     * Tokenizes a data set, cutting texts off after as many tokens as the source says.
     *
     * @throws FormatException if a token is not one that the model knows
     */
    static Encoded of(Dataset data, Function<List<Integer>, Tensor> goals, Source source) throws IOException {
        List<Sequence> sequences = sequences(data, source);
        boolean types = source.takes("token_type_ids")
                && sequences.stream().anyMatch(own -> Arrays.stream(own.types()).anyMatch(type -> type != 0));
        return new Encoded(sequences, goals, new Sequence.Padding(source.padding(), types), source.longest());
    }

    private static List<Sequence> sequences(Dataset data, Source source) throws IOException {
        Map<Integer, String> singles = new LinkedHashMap<>();
        Map<Integer, Text.Pair> pairs = new LinkedHashMap<>();
        Sequence[] all = new Sequence[data.examples().size()];
        for (int i = 0; i < all.length; i++) {
            Example example = data.examples().get(i);
            switch (example.text()) {
                case Text.Single(String text) -> singles.put(i, text);
                case Text.Pair pair -> pairs.put(i, pair);
                case Text.Ids(long[] ids) ->
                    all[i] = new Sequence(source.known(ids, data.file(), example.line())).first(source.longest());
            }
        }
        if (!singles.isEmpty() || !pairs.isEmpty()) {
            try (Tokenizer tokenizer = Tokenizer.open(source.base(), source.vocabulary(), source.longest())) {
                put(all, singles, tokenizer::singles);
                put(all, pairs, tokenizer::pairs);
            }
        }
        return List.of(all);
    }

    private static <T> void put(Sequence[] all, Map<Integer, T> texts, Function<List<T>, List<Sequence>> tokenizer) {
        if (texts.isEmpty()) {
            return;
        }
        List<Sequence> own = tokenizer.apply(List.copyOf(texts.values()));
        int next = 0;
        for (int index : texts.keySet()) {
            all[index] = own.get(next++);
        }
    }

    /** Goals that are classes: integers [batch]. */
    static Function<List<Integer>, Tensor> classes(List<Integer> all) {
        return indices -> new LongTensor(
                Shape.of(indices.size()), indices.stream().mapToLong(all::get).toArray());
    }

    /** Goals that are numbers: [batch]. */
    static Function<List<Integer>, Tensor> numbers(List<Double> all) {
        return indices -> {
            float[] values = new float[indices.size()];
            for (int i = 0; i < values.length; i++) {
                values[i] = all.get(indices.get(i)).floatValue();
            }
            return new FloatTensor(Shape.of(values.length), values);
        };
    }

    @Override
    public int size() {
        return sequences.size();
    }

    @Override
    public int length(int index) {
        return sequences.get(index).length();
    }

    @Override
    public int classOf(int index) {
        return goals.apply(List.of(index)) instanceof LongTensor own ? Math.toIntExact(own.values()[0]) : 0;
    }

    @Override
    public Truncation truncation() {
        return Truncation.of(sequences, longest);
    }

    @Override
    public Batch batch(List<Integer> indices) {
        return new Batch(padding.inputs(indices.stream().map(sequences::get).toList()), goals.apply(indices));
    }
}
