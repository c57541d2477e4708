package dev.adapt.verify.form;

import com.fasterxml.jackson.databind.JsonNode;
import dev.adapt.formats.graph.InputSpec;
import dev.adapt.formats.io.JsonDocument;
import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.LongTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.formats.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * A sentence's embedding, as sentence-transformers computes it from the states of its tokens.
 *
 * @param normalized whether to length 1
 */
record SentenceEmbedding(Pool pool, boolean normalized) {
    /** What exporters of sentence embeddings call the output. */
    static final String OUTPUT = "sentence_embedding";

    static final String STATES = "last_hidden_state";

    enum Pool {
        MEAN,
        CLS,
        LAST,
        MAX
    }

    /** All that there are. */
    static List<SentenceEmbedding> all() {
        List<SentenceEmbedding> all = new ArrayList<>();
        for (Pool pool : Pool.values()) {
            all.add(new SentenceEmbedding(pool, true));
            all.add(new SentenceEmbedding(pool, false));
        }
        return all;
    }

    /** What the files of sentence-transformers in a checkpoint's folder say, where they are there. */
    static Optional<SentenceEmbedding> of(Path folder) throws IOException {
        Path pooling = folder.resolve("1_Pooling").resolve("config.json");
        if (!Files.isRegularFile(pooling)) {
            return Optional.empty();
        }
        JsonNode config = JsonDocument.read(pooling).json();
        Pool pool = config.path("pooling_mode_cls_token").asBoolean()
                ? Pool.CLS
                : config.path("pooling_mode_lasttoken").asBoolean()
                        ? Pool.LAST
                        : config.path("pooling_mode_max_tokens").asBoolean() ? Pool.MAX : Pool.MEAN;
        return Optional.of(new SentenceEmbedding(pool, Files.isDirectory(folder.resolve("2_Normalize"))));
    }

    /** [batch, hidden] of token states [batch, sequence, hidden]. */
    DoubleTensor of(DoubleTensor states, Map<String, Tensor> inputs) {
        int batch = (int) states.shape().dim(0);
        int length = (int) states.shape().dim(1);
        int width = (int) states.shape().dim(2);
        double[] pooled = new double[batch * width];
        long[] mask = inputs.get(InputSpec.MASK.name()) instanceof LongTensor own ? own.values() : new long[0];
        for (int row = 0; row < batch; row++) {
            int count = 0;
            for (int token = 0; token < length; token++) {
                if (mask.length > 0 && mask[row * length + token] == 0 && pool != Pool.CLS) {
                    continue;
                }
                count++;
                add(pooled, row * width, states.values(), (row * length + token) * width, width, count);
                if (pool == Pool.CLS) {
                    break;
                }
            }
            finish(pooled, row * width, width, count);
        }
        return new DoubleTensor(Shape.of(batch, width), pooled);
    }

    private void add(double[] pooled, int to, double[] states, int from, int width, int count) {
        for (int i = 0; i < width; i++) {
            double state = states[from + i];
            pooled[to + i] = switch (pool) {
                case MEAN -> pooled[to + i] + state;
                case CLS, LAST -> state;
                case MAX -> count == 1 ? state : Math.max(pooled[to + i], state);
            };
        }
    }

    private void finish(double[] pooled, int from, int width, int count) {
        double squares = 0;
        for (int i = from; i < from + width; i++) {
            pooled[i] /= pool == Pool.MEAN ? Math.max(1, count) : 1;
            squares += pooled[i] * pooled[i];
        }
        for (int i = from; normalized && squares > 0 && i < from + width; i++) {
            pooled[i] /= Math.sqrt(squares);
        }
    }

    @Override
    public String toString() {
        String states = pool == Pool.MEAN || pool == Pool.MAX ? pool.name().toLowerCase(Locale.ROOT) : pool + " state";
        return (normalized ? "normalised " : "") + states + " of " + STATES;
    }
}
