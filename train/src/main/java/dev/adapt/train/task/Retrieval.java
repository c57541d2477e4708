package dev.adapt.train.task;

import ai.djl.ndarray.NDArray;
import dev.adapt.formats.UsageException;
import dev.adapt.formats.graph.Unfinished;
import dev.adapt.formats.sentence.SentenceModules;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.train.data.Batch;
import dev.adapt.train.data.Dataset;
import dev.adapt.train.data.Examples;
import dev.adapt.train.data.Questions;
import dev.adapt.train.data.Sequence;
import dev.adapt.train.data.Source;
import dev.adapt.train.djl.NDArrayOps;
import dev.adapt.train.metric.Metric;
import dev.adapt.train.metric.Ranking;
import dev.adapt.train.tokenizer.Tokenizer;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.function.Function;

/**
 * Vectors of questions that lie near those of the passages that answer them, learned by InfoNCE (van den Oord et al., arXiv
 * 1807.03748): each question's own passage must be nearer than all other passages of the batch, those that the data call wrong
 * among them. What the files may hold is said at {@link Questions}.
 *
 * @param columns two text columns: the question and the passage
 * @param temperature what cosines are divided by
 */
public record Retrieval(Dataset.Columns columns, TextVectors vectors, double temperature) implements VectorTask {
    /** What fills the rows of goals up, where another example has more passages. */
    private static final long NONE = -1;

    public Retrieval {
        if (!(temperature > 0) || !Double.isFinite(temperature)) {
            throw new UsageException("temperature", "expected a finite number above 0, found " + temperature);
        }
    }

    @Override
    public String name() {
        return "retrieval";
    }

    @Override
    public List<Metric> metrics() {
        return List.of(Metric.NDCG_10, Metric.RECALL_1, Metric.RECALL_5, Metric.RECALL_10);
    }

    @Override
    public Data read(Path train, Optional<Path> eval, Source source) throws IOException {
        vectors.requireStates(name(), source);
        Optional<Examples> dev = Optional.empty();
        if (eval.isPresent()) {
            dev = Optional.of(examples(Questions.read(eval.get(), columns), source));
        }
        return new Data(
                examples(Questions.read(train, columns), source),
                dev,
                Optional.empty(),
                Optional.empty(),
                List.of(),
                Optional.empty());
    }

    private TextGroups examples(Questions data, Source source) throws IOException {
        SequencedMap<String, Integer> questions = data.questions();
        SequencedMap<String, Integer> passages = data.passages();
        List<List<Sequence>> texts = new ArrayList<>();
        List<long[]> numbers = new ArrayList<>();
        try (Tokenizer tokenizer = Tokenizer.open(source.base(), source.vocabulary(), source.longest())) {
            List<Sequence> asked = tokenizer.singles(prompted(questions, SentenceModules.QUERY));
            List<Sequence> told = tokenizer.singles(prompted(passages, SentenceModules.DOCUMENT));
            for (Questions.Example example : data.examples()) {
                List<String> all = new ArrayList<>(List.of(example.passage()));
                all.addAll(example.negatives());
                int question = questions.getOrDefault(example.question(), 0);
                List<Integer> own =
                        all.stream().map(text -> passages.getOrDefault(text, 0)).toList();
                List<Sequence> group = new ArrayList<>(List.of(asked.get(question)));
                own.forEach(number -> group.add(told.get(number)));
                texts.add(group);
                numbers.add(numbers(question, own));
            }
        }
        return new TextGroups(texts, goals(numbers), new Sequence.Padding(source.padding(), false), source.longest());
    }

    private List<String> prompted(SequencedMap<String, Integer> texts, String part) {
        String prompt = vectors.modules().prompt(part);
        return texts.keySet().stream().map(text -> prompt + text).toList();
    }

    private static long[] numbers(int question, List<Integer> passages) {
        long[] numbers = new long[passages.size() + 1];
        numbers[0] = question;
        for (int i = 0; i < passages.size(); i++) {
            numbers[i + 1] = passages.get(i);
        }
        return numbers;
    }

    /** Goals [batch, 2 + most]: the number of the question, of its passage and of those that do not answer it. */
    private static Function<List<Integer>, Tensor> goals(List<long[]> numbers) {
        int width = numbers.stream().mapToInt(own -> own.length).max().orElse(2);
        return indices -> {
            long[] values = new long[indices.size() * width];
            Arrays.fill(values, NONE);
            for (int row = 0; row < indices.size(); row++) {
                long[] own = numbers.get(indices.get(row));
                System.arraycopy(own, 0, values, row * width, own.length);
            }
            return new LongTensor(Shape.of(indices.size(), width), values);
        };
    }

    /**
     * A batch's texts by what they are.
     *
     * @param questions [n, hidden]
     * @param passages [m, hidden]: first those that answer, in the order of the questions, then the others
     * @param asked the numbers of the questions
     * @param told the numbers of the passages
     */
    private record Sorted(NDArray questions, NDArray passages, List<Long> asked, List<Long> told) {
        static Sorted of(NDArrayOps ops, List<Share> shares) {
            List<NDArray> questions = new ArrayList<>();
            List<NDArray> right = new ArrayList<>();
            List<NDArray> wrong = new ArrayList<>();
            List<Long> asked = new ArrayList<>();
            List<Long> answers = new ArrayList<>();
            List<Long> others = new ArrayList<>();
            for (Share share : shares) {
                long count = share.goals().shape().dim(0);
                int width = (int) share.goals().shape().dim(1);
                long[] goals = Losses.integers(share.goals());
                for (int i = 0; i < goals.length; i++) {
                    if (goals[i] != NONE) {
                        (i % width == 0 ? asked : i % width == 1 ? answers : others).add(goals[i]);
                    }
                }
                NDArray rows = share.vectors();
                long all = rows.getShape().get(0);
                questions.add(ops.slice(rows, 0, 0, count));
                right.add(ops.slice(rows, 0, count, 2 * count));
                if (all > 2 * count) {
                    wrong.add(ops.slice(rows, 0, 2 * count, all));
                }
            }
            right.addAll(wrong);
            answers.addAll(others);
            return new Sorted(ops.concat(0, questions), ops.concat(0, right), asked, answers);
        }

        /** Which passages are no candidates for a question: what answers it too, or is the same text again. */
        boolean[][] without() {
            boolean[][] without = new boolean[asked.size()][told.size()];
            for (int i = 0; i < asked.size(); i++) {
                for (int j = 0; j < told.size(); j++) {
                    boolean answersToo = told.get(j).equals(told.get(i))
                            || (j < asked.size() && asked.get(j).equals(asked.get(i)));
                    without[i][j] = i != j && answersToo;
                }
            }
            return without;
        }
    }

    @Override
    public NDArray loss(NDArrayOps ops, List<Share> shares) {
        Sorted sorted = Sorted.of(ops, shares);
        boolean[][] without = sorted.without();
        List<NDArray> questions = vectors.ofLengthOne(ops, sorted.questions());
        List<NDArray> passages = vectors.ofLengthOne(ops, sorted.passages());
        NDArray sum = Losses.infoNce(ops, questions.getFirst(), passages.getFirst(), temperature, without);
        for (int i = 1; i < questions.size(); i++) {
            sum = ops.add(sum, Losses.infoNce(ops, questions.get(i), passages.get(i), temperature, without));
        }
        return sum;
    }

    @Override
    public Tally tally(List<String> labels) {
        return new FoundPassages();
    }

    /** Keeps the vectors of a dev set, in which each question is looked for among all passages. */
    private final class FoundPassages implements Tally {
        private final Map<Long, float[]> questions = new LinkedHashMap<>();
        private final Map<Long, float[]> passages = new LinkedHashMap<>();
        private final Map<Long, Set<Long>> answers = new HashMap<>();

        @Override
        public void add(Unfinished<NDArray> output, Batch batch) {
            NDArrayOps ops = new NDArrayOps(output.states().getManager(), Optional.empty());
            Sorted sorted = Sorted.of(ops, List.of(new Share(vectors(ops, output, batch), batch.goals())));
            put(
                    questions,
                    sorted.asked(),
                    vectors.ofLengthOne(ops, sorted.questions()).getFirst());
            put(
                    passages,
                    sorted.told(),
                    vectors.ofLengthOne(ops, sorted.passages()).getFirst());
            for (int i = 0; i < sorted.asked().size(); i++) {
                answers.computeIfAbsent(sorted.asked().get(i), absent -> new HashSet<>())
                        .add(sorted.told().get(i));
            }
        }

        private static void put(Map<Long, float[]> vectors, List<Long> numbers, NDArray rows) {
            float[] values = rows.toFloatArray();
            int width = values.length / numbers.size();
            for (int i = 0; i < numbers.size(); i++) {
                vectors.put(numbers.get(i), Arrays.copyOfRange(values, i * width, (i + 1) * width));
            }
        }

        @Override
        public SequencedMap<Metric, Double> values(double loss) {
            Ranking ranking = new Ranking();
            List<Long> numbers = List.copyOf(passages.keySet());
            Map<Long, Integer> places = new HashMap<>();
            numbers.forEach(number -> places.put(number, places.size()));
            questions.forEach((question, vector) -> {
                double[] scores = numbers.stream()
                        .mapToDouble(number -> product(vector, passages.getOrDefault(number, vector)))
                        .toArray();
                Set<Integer> right = new HashSet<>();
                answers.getOrDefault(question, Set.of()).forEach(number -> right.add(places.getOrDefault(number, 0)));
                ranking.add(scores, right);
            });
            return ranking.values();
        }

        private static double product(float[] left, float[] right) {
            double sum = 0;
            for (int i = 0; i < left.length; i++) {
                sum += (double) left[i] * right[i];
            }
            return sum;
        }
    }
}
