package dev.adapt.train.task;

import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.train.data.Batch;
import dev.adapt.train.data.Examples;
import dev.adapt.train.data.LabelledWords;
import dev.adapt.train.data.Lines;
import dev.adapt.train.data.Sequence;
import dev.adapt.train.data.Source;
import dev.adapt.train.data.Truncation;
import dev.adapt.train.tokenizer.Tokenizer;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Tokenized sentences of which words have labels. A word's first token learns its label, as is usual for BERT.
 *
 * @param words of each sentence the first tokens of its words
 * @param classes of each sentence the labels of those words
 * @param longest the limit on a sentence's length, in tokens
 */
public record WordExamples(
        List<Sequence> sequences, List<int[]> words, List<int[]> classes, Sequence.Padding padding, int longest)
        implements Examples {
    /**
     * Tokenizes sentences, cutting them off after as many tokens as the source says; words that are cut off are not learned.
     *
     * @throws dev.adapt.formats.FormatException if no token of a sentence belongs to a word
     */
    static WordExamples of(LabelledWords data, List<String> labels, Source source) throws IOException {
        List<int[]> all = data.classes(labels);
        List<Sequence> sequences = new ArrayList<>();
        List<int[]> words = new ArrayList<>();
        List<int[]> classes = new ArrayList<>();
        try (Tokenizer tokenizer = Tokenizer.open(source.base(), source.vocabulary(), source.longest())) {
            for (int i = 0; i < all.size(); i++) {
                LabelledWords.Sentence sentence = data.sentences().get(i);
                Tokenizer.Placed placed = tokenizer.placed(LabelledWords.text(sentence));
                int[] firsts = firsts(
                        placed,
                        LabelledWords.wordsOfText(sentence),
                        sentence.words().size());
                int[] kept = Arrays.stream(firsts).filter(token -> token >= 0).toArray();
                if (kept.length == 0) {
                    throw Lines.fault(
                            data.file(), sentence.line(), "begins a sentence without a token the model knows");
                }
                int[] own = all.get(i);
                sequences.add(placed.sequence());
                words.add(kept);
                classes.add(IntStream.range(0, firsts.length)
                        .filter(word -> firsts[word] >= 0)
                        .map(word -> own[word])
                        .toArray());
            }
        }
        return new WordExamples(
                sequences, words, classes, new Sequence.Padding(source.padding(), false), source.longest());
    }

    /** The first token of each word; -1 where none is left of it. */
    public static int[] firsts(Tokenizer.Placed placed, int[] wordsOfText, int count) {
        int[] firsts = new int[count];
        Arrays.fill(firsts, -1);
        for (int token = placed.places().length - 1; token >= 0; token--) {
            int place = placed.places()[token];
            if (place >= 0 && place < wordsOfText.length) {
                firsts[wordsOfText[place]] = token;
            }
        }
        return firsts;
    }

    @Override
    public int size() {
        return sequences.size();
    }

    @Override
    public Truncation truncation() {
        return Truncation.of(sequences, longest);
    }

    @Override
    public int length(int index) {
        return sequences.get(index).length();
    }

    /** Goals [words, 2]: the place of each word's first token among all of the batch, and its class. */
    @Override
    public Batch batch(List<Integer> indices) {
        List<Sequence> chosen = indices.stream().map(sequences::get).toList();
        int width = Sequence.Padding.width(chosen);
        List<Long> goals = new ArrayList<>();
        for (int row = 0; row < indices.size(); row++) {
            int[] own = words.get(indices.get(row));
            int[] labels = classes.get(indices.get(row));
            for (int i = 0; i < own.length; i++) {
                goals.add((long) row * width + own[i]);
                goals.add((long) labels[i]);
            }
        }
        long[] values = goals.stream().mapToLong(each -> each).toArray();
        return new Batch(padding.inputs(chosen), new LongTensor(Shape.of(values.length / 2, 2), values));
    }
}
