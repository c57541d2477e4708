package dev.adapt.train.predict;

import dev.adapt.formats.UsageException;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.sentence.SentenceModules;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.data.Example;
import dev.adapt.train.data.LabelledWords;
import dev.adapt.train.data.Questions;
import dev.adapt.train.data.Text;
import dev.adapt.train.metric.Confusion;
import dev.adapt.train.metric.Correlation;
import dev.adapt.train.metric.Entities;
import dev.adapt.train.metric.Metric;
import dev.adapt.train.metric.Ranking;
import dev.adapt.train.task.Regression;
import dev.adapt.train.task.ScoredPairs;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.Set;

/**
 * How good a model's predictions of a labelled file are.
 *
 * @param examples how many there are: texts, or words
 * @param figures by metric
 * @param classes a row for each class; none for a model that gives numbers
 */
public record Evaluation(int examples, SequencedMap<Metric, Double> figures, List<OfClass> classes) {
    /**
     * One class.
     *
     * @param predicted how many examples of it were predicted as each class, in the order of the rows
     */
    public record OfClass(String label, double precision, double recall, double f1, List<Long> predicted) {
        public OfClass {
            predicted = List.copyOf(predicted);
        }

        /** How many examples it has. */
        public long examples() {
            return predicted.stream().mapToLong(Long::longValue).sum();
        }
    }

    public Evaluation {
        classes = List.copyOf(classes);
    }

    /**
     * Predicts the texts of a file and compares what they are with their labels.
     *
     * @throws dev.adapt.formats.FormatException if the file is not as training data must be, or a label is none of the model's
     * @throws UsageException if the model has no head, or its classes do not exclude each other
     */
    public static Evaluation of(Predictor predictor, Path file, Dataset.Columns columns) throws IOException {
        Head head = predictor
                .head()
                .orElseThrow(() -> new UsageException("the model has no head whose predictions have labels; give a"
                        + " classifier, the adapter that brings one, or what its embeddings are compared for: similarity"
                        + " or retrieval"));
        if (head.pooling() == Pooling.TOKENS) {
            return ofWords(predictor, LabelledWords.read(file, columns));
        }
        Dataset data = Dataset.read(file, columns);
        List<Prediction> predictions =
                predictor.predict(data.examples().stream().map(Example::text).toList());
        return head.labels().size() == 1 ? ofNumbers(data, predictions) : ofClasses(data, predictions, head.labels());
    }

    /**
     * Compares the cosines of a model's embeddings with the scores of a file's pairs.
     *
     * @throws dev.adapt.formats.FormatException if the file is not as training data must be
     * @throws UsageException if the model has a head
     */
    public static Evaluation ofPairs(Predictor predictor, Path file, Dataset.Columns columns) throws IOException {
        ScoredPairs data = ScoredPairs.read(file, columns);
        List<double[]> first =
                predictor.vectors(data.pairs().stream().map(Text.Pair::first).toList(), SentenceModules.QUERY);
        List<double[]> second =
                predictor.vectors(data.pairs().stream().map(Text.Pair::second).toList(), SentenceModules.QUERY);
        List<Double> cosines = new ArrayList<>();
        for (int i = 0; i < first.size(); i++) {
            cosines.add(cosine(first.get(i), second.get(i)));
        }
        return new Evaluation(first.size(), Correlation.both(cosines, data.scores()), List.of());
    }

    /**
     * Looks for the passages of a file's questions among all of its passages, by the cosines of a model's embeddings.
     *
     * @throws dev.adapt.formats.FormatException if the file is not as training data must be
     * @throws UsageException if the model has a head
     */
    public static Evaluation ofPassages(Predictor predictor, Path file, Dataset.Columns columns) throws IOException {
        Questions data = Questions.read(file, columns);
        SequencedMap<String, Integer> passages = data.passages();
        List<String> questions = List.copyOf(data.questions().keySet());
        List<double[]> asked = predictor.vectors(questions, SentenceModules.QUERY);
        List<double[]> told = predictor.vectors(List.copyOf(passages.keySet()), SentenceModules.DOCUMENT);
        Map<String, Set<Integer>> answers = new HashMap<>();
        for (Questions.Example example : data.examples()) {
            answers.computeIfAbsent(example.question(), absent -> new HashSet<>())
                    .add(passages.getOrDefault(example.passage(), 0));
        }
        Ranking ranking = new Ranking();
        for (int i = 0; i < questions.size(); i++) {
            double[] question = asked.get(i);
            ranking.add(
                    told.stream()
                            .mapToDouble(passage -> cosine(question, passage))
                            .toArray(),
                    answers.getOrDefault(questions.get(i), Set.of()));
        }
        return new Evaluation(questions.size(), ranking.values(), List.of());
    }

    private static double cosine(double[] left, double[] right) {
        double product = 0;
        double ofLeft = 0;
        double ofRight = 0;
        for (int i = 0; i < left.length; i++) {
            product += left[i] * right[i];
            ofLeft += left[i] * left[i];
            ofRight += right[i] * right[i];
        }
        return ofLeft == 0 || ofRight == 0 ? 0 : product / Math.sqrt(ofLeft * ofRight);
    }

    private static Evaluation ofNumbers(Dataset data, List<Prediction> predictions) {
        double[] truth =
                Regression.numbers(data).stream().mapToDouble(each -> each).toArray();
        double[] found = predictions.stream()
                .mapToDouble(each -> each instanceof Prediction.Value(double value) ? value : Double.NaN)
                .toArray();
        SequencedMap<Metric, Double> figures = new LinkedHashMap<>();
        figures.put(Metric.PEARSON, Correlation.pearson(found, truth));
        figures.put(Metric.SPEARMAN, Correlation.spearman(found, truth));
        return new Evaluation(truth.length, figures, List.of());
    }

    private static Evaluation ofClasses(Dataset data, List<Prediction> predictions, List<String> labels) {
        List<Integer> truth = data.classes(labels);
        Confusion confusion = new Confusion(labels.size());
        for (int i = 0; i < truth.size(); i++) {
            if (!(predictions.get(i) instanceof Prediction.Classes own)
                    || own.labels().size() != 1) {
                throw new UsageException("the model's classes do not exclude each other, and each text has one label;"
                        + " give a model with problem_type single_label_classification");
            }
            confusion.add(truth.get(i), labels.indexOf(own.labels().getFirst()));
        }
        SequencedMap<Metric, Double> figures = new LinkedHashMap<>();
        figures.put(Metric.ACCURACY, confusion.accuracy());
        figures.put(Metric.F1, confusion.f1());
        figures.put(Metric.MATTHEWS, confusion.matthews());
        return new Evaluation(truth.size(), figures, classes(confusion, labels));
    }

    private static Evaluation ofWords(Predictor predictor, LabelledWords data) {
        List<String> labels = predictor.labels();
        List<int[]> truth = data.classes(labels);
        List<List<String>> found = predictor.labelsOf(data.sentences());
        Confusion confusion = new Confusion(labels.size());
        Entities.Count entities = new Entities.Count();
        int words = 0;
        for (int i = 0; i < truth.size(); i++) {
            entities.add(data.sentences().get(i).labels(), found.get(i));
            for (int word = 0; word < truth.get(i).length; word++) {
                confusion.add(truth.get(i)[word], labels.indexOf(found.get(i).get(word)));
                words++;
            }
        }
        SequencedMap<Metric, Double> figures = new LinkedHashMap<>();
        figures.put(Metric.ENTITY_F1, entities.f1());
        figures.put(Metric.ACCURACY, confusion.accuracy());
        return new Evaluation(words, figures, classes(confusion, labels));
    }

    private static List<OfClass> classes(Confusion confusion, List<String> labels) {
        List<OfClass> classes = new ArrayList<>();
        for (int i = 0; i < labels.size(); i++) {
            List<Long> predicted = new ArrayList<>();
            for (int j = 0; j < labels.size(); j++) {
                predicted.add(confusion.count(i, j));
            }
            double precision = confusion.precision(i);
            double recall = confusion.recall(i);
            double f1 = precision + recall == 0 ? 0 : 2 * precision * recall / (precision + recall);
            classes.add(new OfClass(labels.get(i), precision, recall, f1, predicted));
        }
        return classes;
    }
}
