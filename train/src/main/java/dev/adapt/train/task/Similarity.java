package dev.adapt.train.task;

import ai.djl.ndarray.NDArray;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.graph.Unfinished;
import dev.adapt.formats.sentence.SentenceModules;
import dev.adapt.train.data.Batch;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.data.Examples;
import dev.adapt.train.data.Sequence;
import dev.adapt.train.data.Source;
import dev.adapt.train.djl.NDArrayOps;
import dev.adapt.train.metric.Correlation;
import dev.adapt.train.metric.Metric;
import dev.adapt.train.tokenizer.Tokenizer;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;

/**
 * Vectors of texts whose cosine says how alike two texts are, learned from pairs with a score.
 *
 * @param columns two text columns, and the label column with the score
 * @param temperature what CoSENT divides cosines by
 */
public record Similarity(Dataset.Columns columns, TextVectors vectors, Loss loss, double temperature)
        implements VectorTask {
    /** sentence-transformers' temperature: a scale of 20. */
    public static final double TEMPERATURE = 0.05;

    /** What is minimised. */
    public enum Loss {
        /**
         * {@code log(1 + Σ exp((cosⱼ − cosᵢ) / temperature))} over all pairs i and j of a batch of which i has the higher
         * score: only their order counts (Su, CoSENT, 2022).
         */
        COSENT,
        /** The mean square of cosine less score. */
        COSINE
    }

    public Similarity {
        if (!(temperature > 0) || !Double.isFinite(temperature)) {
            throw new UsageException("temperature", "expected a finite number above 0, found " + temperature);
        }
    }

    @Override
    public String name() {
        return "similarity";
    }

    @Override
    public List<Metric> metrics() {
        return List.of(Metric.SPEARMAN, Metric.PEARSON);
    }

    @Override
    public Data read(Path train, Optional<Path> eval, Source source) throws IOException {
        vectors.requireStates(name(), source);
        ScoredPairs own = ScoredPairs.read(train, columns);
        double highest = loss == Loss.COSINE ? own.highest() : 1;
        Optional<Examples> dev = Optional.empty();
        if (eval.isPresent()) {
            dev = Optional.of(examples(ScoredPairs.read(eval.get(), own.columns()), source, highest));
        }
        return new Data(
                examples(own, source, highest),
                dev,
                Optional.empty(),
                Optional.empty(),
                List.of(),
                Optional.of(own.columns()));
    }

    private TextGroups examples(ScoredPairs data, Source source, double highest) throws IOException {
        String prompt = vectors.modules().prompt(SentenceModules.QUERY);
        List<List<Sequence>> texts = new ArrayList<>();
        try (Tokenizer tokenizer = Tokenizer.open(source.base(), source.vocabulary(), source.longest())) {
            List<Sequence> firsts = tokenizer.singles(
                    data.pairs().stream().map(pair -> prompt + pair.first()).toList());
            List<Sequence> seconds = tokenizer.singles(
                    data.pairs().stream().map(pair -> prompt + pair.second()).toList());
            for (int i = 0; i < firsts.size(); i++) {
                texts.add(List.of(firsts.get(i), seconds.get(i)));
            }
        }
        List<Double> scores =
                data.scores().stream().map(score -> score / highest).toList();
        return new TextGroups(
                texts, Encoded.numbers(scores), new Sequence.Padding(source.padding(), false), source.longest());
    }

    @Override
    public NDArray loss(NDArrayOps ops, List<Share> shares) {
        NDArray first =
                ops.concat(0, shares.stream().map(own -> half(ops, own, 0)).toList());
        NDArray second =
                ops.concat(0, shares.stream().map(own -> half(ops, own, 1)).toList());
        float[] scores = scores(shares);
        List<NDArray> left = vectors.ofLengthOne(ops, first);
        List<NDArray> right = vectors.ofLengthOne(ops, second);
        NDArray sum = ofCosines(ops, left.getFirst(), right.getFirst(), scores);
        for (int i = 1; i < left.size(); i++) {
            sum = ops.add(sum, ofCosines(ops, left.get(i), right.get(i), scores));
        }
        return sum;
    }

    private static NDArray half(NDArrayOps ops, Share share, int which) {
        long count = share.goals().shape().dim(0);
        return ops.slice(share.vectors(), 0, which * count, (which + 1) * count);
    }

    private static float[] scores(List<Share> shares) {
        int count = 0;
        for (Share share : shares) {
            count += (int) share.goals().shape().dim(0);
        }
        float[] scores = new float[count];
        int at = 0;
        for (Share share : shares) {
            float[] own = share.goals().toFloats();
            System.arraycopy(own, 0, scores, at, own.length);
            at += own.length;
        }
        return scores;
    }

    private NDArray ofCosines(NDArrayOps ops, NDArray first, NDArray second, float[] scores) {
        NDArray cosines = ops.sum(ops.mul(first, second), 1);
        return switch (loss) {
            case COSINE -> Losses.squaredError(ops.manager(), cosines, scores);
            case COSENT -> Losses.cosent(ops, ops.affine(cosines, 1 / temperature, 0), scores);
        };
    }

    @Override
    public Tally tally(List<String> labels) {
        List<Double> cosines = new ArrayList<>();
        List<Double> truth = new ArrayList<>();
        return new Tally() {
            @Override
            public void add(Unfinished<NDArray> output, Batch batch) {
                NDArrayOps ops = new NDArrayOps(output.states().getManager(), Optional.empty());
                Share all = new Share(vectors(ops, output, batch), batch.goals());
                NDArray left = vectors.ofLengthOne(ops, half(ops, all, 0)).getFirst();
                NDArray right = vectors.ofLengthOne(ops, half(ops, all, 1)).getFirst();
                for (float cosine : ops.sum(ops.mul(left, right), 1).toFloatArray()) {
                    cosines.add((double) cosine);
                }
                for (float score : batch.goals().toFloats()) {
                    truth.add((double) score);
                }
            }

            @Override
            public SequencedMap<Metric, Double> values(double loss) {
                SequencedMap<Metric, Double> values = Correlation.both(cosines, truth);
                values.putFirst(Metric.SPEARMAN, values.getOrDefault(Metric.SPEARMAN, 0.0));
                return values;
            }
        };
    }
}
