package dev.adapt.train.task;

import ai.djl.ndarray.NDArray;
import dev.adapt.formats.FormatException;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.architecture.query.QueryDecoder;
import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.graph.Unfinished;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.train.data.Batch;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.data.Examples;
import dev.adapt.train.data.Shown;
import dev.adapt.train.data.Source;
import dev.adapt.train.djl.Gradients;
import dev.adapt.train.djl.NDArrayOps;
import dev.adapt.train.image.Pictures;
import dev.adapt.train.image.Preprocessor;
import dev.adapt.train.metric.Metric;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;

/** Images into classes. What a path may hold is said at {@link Pictures}. */
public record ImageClassification() implements Task {
    @Override
    public String name() {
        return "image-classification";
    }

    @Override
    public List<Metric> metrics() {
        return List.of(Metric.ACCURACY, Metric.TOP5, Metric.F1);
    }

    @Override
    public Data read(Path train, Optional<Path> eval, Source source) throws IOException {
        InputSpec input = source.architecture().inputs().getFirst();
        if (source.architecture().tokens().isPresent()) {
            throw new UsageException(
                    "task image-classification",
                    source.config().modelType() + " is a model of texts; give a model of images, such as vit");
        }
        if (source.architecture() instanceof QueryDecoder) {
            throw new UsageException(
                    "task image-classification",
                    source.config().modelType()
                            + " takes features that were sampled, not images; give a model of images, such as vit");
        }
        Pictures own = Pictures.read(train);
        Optional<Pictures> dev = eval.isPresent() ? Optional.of(Pictures.read(eval.get())) : Optional.empty();
        List<String> labels = Dataset.sorted(own.labels());
        Classification.requireTwo(labels, train);
        int channels = Integer.parseInt(input.axes().get(1));
        Preprocessor preprocessor = Preprocessor.of(
                source.base(), channels, Integer.parseInt(input.axes().get(2)));
        return new Data(
                new Images(own, preprocessor, input.name(), Encoded.classes(classes(own, labels))),
                dev.map(held -> new Images(held, preprocessor, input.name(), Encoded.classes(classes(held, labels)))),
                labels,
                List.of(Task.counted(own.labels())));
    }

    private static List<Integer> classes(Pictures pictures, List<String> labels) {
        Map<String, Integer> byName = new LinkedHashMap<>();
        labels.forEach(label -> byName.put(label, byName.size()));
        List<Integer> classes = new ArrayList<>();
        for (String label : pictures.labels()) {
            Integer index = byName.get(label);
            if (index == null) {
                throw new FormatException(
                        pictures.path(),
                        "has the class \"" + Shown.of(label)
                                + "\", which the training data does not have; its classes are " + Shown.of(labels));
            }
            classes.add(index);
        }
        return classes;
    }

    @Override
    public double loss(NDArrayOps ops, Unfinished<NDArray> output, Batch batch, Gradients gradients) {
        NDArray mean = Losses.crossEntropy(ops.manager(), output.output(), Losses.integers(batch.goals()));
        gradients.last(ops.manager(), mean);
        return mean.getFloat();
    }

    @Override
    public Tally tally(List<String> labels) {
        return new ClassTally(metrics());
    }

    /** Pictures as a model's pixel values, made batch by batch. */
    private record Images(
            Pictures pictures, Preprocessor preprocessor, String input, Function<List<Integer>, Tensor> goals)
            implements Examples {
        @Override
        public int size() {
            return pictures.size();
        }

        @Override
        public int length(int index) {
            return 1;
        }

        @Override
        public int classOf(int index) {
            return goals.apply(List.of(index)) instanceof LongTensor own ? Math.toIntExact(own.values()[0]) : 0;
        }

        @Override
        public Batch batch(List<Integer> indices) {
            int size = preprocessor.size();
            int each = preprocessor.channels() * size * size;
            float[] values = new float[indices.size() * each];
            for (int i = 0; i < indices.size(); i++) {
                preprocessor.apply(pictures.picture().apply(indices.get(i)), values, i * each);
            }
            Shape shape = Shape.of(indices.size(), preprocessor.channels(), size, size);
            return new Batch(Map.of(input, new FloatTensor(shape, values)), goals.apply(indices));
        }
    }
}
