package dev.adapt.train.predict;

import dev.adapt.formats.UsageException;
import dev.adapt.formats.architecture.Architectures;
import dev.adapt.formats.graph.Head;
import dev.adapt.formats.graph.ModelConfig;
import dev.adapt.formats.graph.Pooling;
import dev.adapt.formats.sentence.SentenceModules;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Tensor;
import dev.adapt.train.data.LabelledWords;
import dev.adapt.train.data.Sequence;
import dev.adapt.train.data.Source;
import dev.adapt.train.data.Text;
import dev.adapt.train.metric.Entities;
import dev.adapt.train.task.WordExamples;
import dev.adapt.train.tokenizer.Tokenizer;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;

/**
 * Says what a model makes of texts: their classes, a number for each, the entities in them, or vectors that stand for them. The
 * model runs wherever its {@link Engine} does.
 */
public final class Predictor implements AutoCloseable {
    /** Runs a model: inputs by name to its first output. */
    public interface Engine {
        /** The output, [batch, ..]. */
        DoubleTensor run(Map<String, Tensor> inputs);
    }

    /**
     * How token states become a vector, where a model has no head.
     *
     * @param dimension how many of its first elements are kept, if not all
     */
    public record Vectors(SentenceModules modules, Optional<Integer> dimension) {}

    /** Letters, digits and what joins them within a word; or one other character that is no blank. */
    private static final Pattern WORD = Pattern.compile("[\\p{L}\\p{M}\\p{N}]+(?:['’.-][\\p{L}\\p{M}\\p{N}]+)*|\\S");

    private final Engine engine;
    private final Source source;
    private final Optional<Head> head;
    private final boolean multiple;
    private final Vectors vectors;
    private final int batchSize;
    private final Tokenizer tokenizer;

    private Predictor(Engine engine, Source source, Vectors vectors, int batchSize, Tokenizer tokenizer) {
        this.engine = engine;
        this.source = source;
        this.head = source.architecture().head();
        this.multiple = source.config()
                .document()
                .string("problem_type")
                .filter("multi_label_classification"::equals)
                .isPresent();
        this.vectors = vectors;
        this.batchSize = batchSize;
        this.tokenizer = tokenizer;
    }

    /**
     * A predictor.
     *
     * @param config the model's, which names its labels
     * @param folder with the model's tokenizer.json
     * @param batchSize texts that the engine sees at once
     * @param maxLength tokens that a text is cut off after
     * @throws UsageException if the model is none of texts, or its output is no class, number or token state
     */
    public static Predictor of(
            Engine engine, ModelConfig config, Path folder, Vectors vectors, int batchSize, int maxLength)
            throws IOException {
        Source source = new Source(folder, config, Architectures.of(config), maxLength);
        boolean states = source.architecture().outputName().equals("last_hidden_state");
        if (source.architecture().head().isEmpty() && !states) {
            throw new UsageException("the model gives " + source.architecture().outputName()
                    + ", and predict reads classes, numbers and token states; give a classifier or a bare encoder");
        }
        Tokenizer tokenizer = Tokenizer.open(folder, source.vocabulary(), source.longest());
        return new Predictor(engine, source, vectors, batchSize, tokenizer);
    }

    /** The labels of the model's head by index; none where it has no head. */
    public List<String> labels() {
        return head.map(Head::labels).orElse(List.of());
    }

    /** Predicts texts, in their order; texts of like length run together. */
    public List<Prediction> predict(List<Text> texts) {
        return predict(texts, Optional.empty());
    }

    /**
     * The same.
     *
     * @param prompt the name of the prompt before each text, where the model has no head; without one the usual prompt
     * @throws UsageException if the model's folder has no such prompt
     */
    public List<Prediction> predict(List<Text> texts, Optional<String> prompt) {
        SequencedMap<String, String> prompts = vectors.modules().prompts();
        if (prompt.isPresent() && (head.isPresent() || !prompts.containsKey(prompt.get()))) {
            throw new UsageException(
                    "prompt " + prompt.get(),
                    "the model has the prompts " + (head.isPresent() ? List.of() : prompts.keySet()));
        }
        return predict(texts, head.isPresent() ? "" : vectors.modules().prompt(prompt.orElse("")));
    }

    private List<Prediction> predict(List<Text> texts, String before) {
        List<Tokenizer.Placed> tokens =
                texts.parallelStream().map(text -> tokens(text, before)).toList();
        Prediction[] predictions = new Prediction[texts.size()];
        run(tokens, (index, output) -> predictions[index] = prediction(texts.get(index), tokens.get(index), output));
        return List.of(predictions);
    }

    /** What becomes of the output for one text. */
    private interface Reader {
        void read(int index, double[] output);
    }

    private void run(List<Tokenizer.Placed> tokens, Reader reader) {
        List<Integer> order = IntStream.range(0, tokens.size())
                .boxed()
                .sorted(Comparator.comparingInt(
                        index -> tokens.get(index).sequence().length()))
                .toList();
        for (int from = 0; from < order.size(); from += batchSize) {
            List<Integer> indices = order.subList(from, Math.min(order.size(), from + batchSize));
            List<Sequence> sequences =
                    indices.stream().map(index -> tokens.get(index).sequence()).toList();
            Map<String, Tensor> inputs =
                    new Sequence.Padding(source.padding(), source.takes("token_type_ids")).inputs(sequences);
            DoubleTensor output = engine.run(inputs);
            int size = Math.toIntExact(output.shape().elements() / indices.size());
            for (int row = 0; row < indices.size(); row++) {
                reader.read(indices.get(row), Arrays.copyOfRange(output.values(), row * size, (row + 1) * size));
            }
        }
    }

    /** The label of each word of sentences; of a word that was cut off O, as of words outside of entities. */
    List<List<String>> labelsOf(List<LabelledWords.Sentence> sentences) {
        List<Tokenizer.Placed> tokens = sentences.parallelStream()
                .map(sentence -> tokenizer.placed(LabelledWords.text(sentence)))
                .toList();
        int classes = labels().size();
        String cut = labels().contains(Entities.OUTSIDE) ? Entities.OUTSIDE : labels().getFirst();
        List<List<String>> all = new ArrayList<>(Collections.nCopies(sentences.size(), List.of()));
        run(tokens, (index, output) -> {
            LabelledWords.Sentence sentence = sentences.get(index);
            int[] firsts = WordExamples.firsts(
                    tokens.get(index),
                    LabelledWords.wordsOfText(sentence),
                    sentence.words().size());
            all.set(
                    index,
                    Arrays.stream(firsts)
                            .mapToObj(token -> token < 0
                                    ? cut
                                    : labels().get(largest(
                                            Arrays.copyOfRange(output, token * classes, (token + 1) * classes))))
                            .toList());
        });
        return all;
    }

    /** The model's head, if it has one. */
    Optional<Head> head() {
        return head;
    }

    /**
     * The vectors of texts, with the prompt of a part before each.
     *
     * @throws UsageException if the model has a head
     */
    List<double[]> vectors(List<String> texts, String part) {
        if (head.isPresent()) {
            throw new UsageException("the model has a head, and gives no embeddings that could be compared");
        }
        List<Text> single =
                texts.stream().map(text -> (Text) new Text.Single(text)).toList();
        return predict(single, vectors.modules().prompt(part)).stream()
                .map(each -> each instanceof Prediction.Embedding(double[] values) ? values : new double[0])
                .toList();
    }

    private Tokenizer.Placed tokens(Text text, String prompt) {
        return switch (text) {
            case Text.Single(String words) -> tokenizer.placed(prompt + words);
            case Text.Pair pair ->
                new Tokenizer.Placed(tokenizer.pairs(List.of(pair)).getFirst(), new int[0]);
            case Text.Ids(long[] ids) -> new Tokenizer.Placed(new Sequence(ids).first(source.longest()), new int[0]);
        };
    }

    private Prediction prediction(Text text, Tokenizer.Placed tokens, double[] output) {
        if (head.isEmpty()) {
            return new Prediction.Embedding(vector(tokens.sequence().length(), output));
        }
        if (head.get().pooling() == Pooling.TOKENS) {
            if (!(text instanceof Text.Single(String words))) {
                throw new UsageException("the model labels the words of a text; give single texts");
            }
            return words(words, tokens, output);
        }
        if (head.get().labels().size() == 1) {
            return new Prediction.Value(output[0]);
        }
        return classes(output);
    }

    private Prediction.Classes classes(double[] logits) {
        double[] probabilities = multiple
                ? Arrays.stream(logits).map(logit -> 1 / (1 + Math.exp(-logit))).toArray()
                : softmax(logits, 0, logits.length);
        SequencedMap<String, Double> scores = new LinkedHashMap<>();
        List<String> chosen = new ArrayList<>();
        for (int i = 0; i < probabilities.length; i++) {
            scores.put(labels().get(i), probabilities[i]);
            if (multiple && probabilities[i] >= 0.5) {
                chosen.add(labels().get(i));
            }
        }
        if (!multiple) {
            chosen.add(labels().get(largest(probabilities)));
        }
        return new Prediction.Classes(chosen, scores);
    }

    private double[] vector(int length, double[] states) {
        int hidden = source.architecture().hidden();
        double[] pooled = new double[hidden];
        for (int i = 0; i < hidden; i++) {
            int column = i;
            DoubleStream all = IntStream.range(0, length).mapToDouble(token -> states[token * hidden + column]);
            pooled[i] = switch (vectors.modules().pooling()) {
                case CLS -> states[i];
                case LAST -> states[(length - 1) * hidden + i];
                case MAX -> all.max().orElse(0);
                case MEAN -> all.average().orElse(0);
                case POOLER, TOKENS -> throw new IllegalStateException("these make no vectors of texts");
            };
        }
        double[] vector =
                Arrays.copyOf(pooled, Math.min(hidden, vectors.dimension().orElse(hidden)));
        double norm = Math.sqrt(Arrays.stream(vector).map(each -> each * each).sum());
        return vectors.modules().normalized() && norm > 0
                ? Arrays.stream(vector).map(each -> each / norm).toArray()
                : vector;
    }

    /** A word has the label of its first token; words that were cut off have none. */
    private Prediction.Words words(String text, Tokenizer.Placed tokens, double[] logits) {
        int classes = labels().size();
        List<Prediction.Word> words = new ArrayList<>();
        Matcher matcher = WORD.matcher(text);
        int token = 0;
        while (matcher.find()) {
            int start = text.codePointCount(0, matcher.start());
            int end = text.codePointCount(0, matcher.end());
            while (token < tokens.places().length && tokens.places()[token] < start) {
                token++;
            }
            if (token == tokens.places().length) {
                break;
            }
            if (tokens.places()[token] < end) {
                double[] probabilities = softmax(logits, token * classes, (token + 1) * classes);
                int best = largest(probabilities);
                words.add(new Prediction.Word(matcher.start(), matcher.end(), labels().get(best), probabilities[best]));
            }
        }
        return new Prediction.Words(words, entities(text, words));
    }

    private static List<Prediction.Found> entities(String text, List<Prediction.Word> words) {
        List<Prediction.Found> found = new ArrayList<>();
        for (Entities.Entity each :
                Entities.of(words.stream().map(Prediction.Word::label).toList())) {
            List<Prediction.Word> own = words.subList(each.first(), each.end());
            int start = own.getFirst().start();
            int end = own.getLast().end();
            double score =
                    own.stream().mapToDouble(Prediction.Word::score).average().orElseThrow();
            found.add(new Prediction.Found(text.substring(start, end), each.type(), start, end, score));
        }
        return found;
    }

    private static double[] softmax(double[] logits, int from, int to) {
        double[] own = Arrays.copyOfRange(logits, from, to);
        double most = Arrays.stream(own).max().orElse(0);
        double[] powers = Arrays.stream(own).map(each -> Math.exp(each - most)).toArray();
        double sum = Arrays.stream(powers).sum();
        return Arrays.stream(powers).map(each -> each / sum).toArray();
    }

    private static int largest(double[] values) {
        return IntStream.range(0, values.length)
                .boxed()
                .max(Comparator.comparingDouble(index -> values[index]))
                .orElseThrow();
    }

    @Override
    public void close() {
        tokenizer.close();
    }
}
