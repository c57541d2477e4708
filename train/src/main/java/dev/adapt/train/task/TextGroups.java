package dev.adapt.train.task;

import dev.adapt.formats.tensor.Tensor;
import dev.adapt.train.data.Batch;
import dev.adapt.train.data.Examples;
import dev.adapt.train.data.Sequence;
import dev.adapt.train.data.Truncation;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/**
 * Examples of several texts that the model reads apart: two, which are compared, and texts beside them.
 *
 * @param texts of each example, at least two
 * @param goals the goals of some examples, by their numbers
 * @param longest the most tokens of a text
 */
record TextGroups(
        List<List<Sequence>> texts, Function<List<Integer>, Tensor> goals, Sequence.Padding padding, int longest)
        implements Examples {
    @Override
    public int size() {
        return texts.size();
    }

    @Override
    public int length(int index) {
        return Sequence.Padding.width(texts.get(index));
    }

    @Override
    public Truncation truncation() {
        int cut = (int) texts.stream()
                .filter(own -> own.stream().anyMatch(Sequence::cut))
                .count();
        return new Truncation(texts.size(), cut, 0, longest);
    }

    /** A row for each text: the first of all examples, the second of all, and then the others, example by example. */
    @Override
    public Batch batch(List<Integer> indices) {
        List<List<Sequence>> own = indices.stream().map(texts::get).toList();
        List<Sequence> rows = new ArrayList<>();
        own.forEach(group -> rows.add(group.get(0)));
        own.forEach(group -> rows.add(group.get(1)));
        own.forEach(group -> rows.addAll(group.subList(2, group.size())));
        return new Batch(padding.inputs(rows), goals.apply(indices));
    }
}
