package dev.adapt.formats.generate;

import dev.adapt.formats.UsageException;
import java.util.Arrays;

/**
 * Chooses the next token of a text from a model's logits: the best, or one drawn from the softmax of
 * {@code logits / temperature} over the best tokens.
 *
 * <p>The draw is the largest of {@code logit + temperature · noise}, where the noise is Gumbel's and depends on the seed, the
 * place in the text and the token alone: this draws from the softmax exactly (Maddison et al., arXiv 1411.0030, section
 * 2). Two engines whose logits differ by a rounding error thus choose the same token, unless the best two are as near to
 * each other as that; a cumulative sum of probabilities compared with one random number would move with every logit. What
 * is nearer than {@link #TIE} is equal, and the smallest id wins: a tie, too, is the same on every engine.
 *
 * @param temperature 0 for the best token
 * @param topK draw only from so many best tokens; 0 for all
 * @param topP draw only from the fewest best tokens whose probabilities together reach this (Holtzman et al., arXiv
 *     1904.09751); 1 for all
 */
public record Sampler(double temperature, int topK, double topP, long seed) {
    /** Always the best token. */
    public static final Sampler GREEDY = new Sampler(0, 0, 1, 0);

    /** More than engines differ by, and less than a difference of logits can mean. */
    private static final double TIE = 1e-4;

    /**
     * @throws UsageException if a number is outside its range
     */
    public Sampler {
        if (!(temperature >= 0 && temperature < Double.POSITIVE_INFINITY)) {
            throw new UsageException("temperature", "expected 0 or more, found " + temperature);
        }
        if (topK < 0) {
            throw new UsageException("top-k", "expected 1 or more, or 0 for all tokens, found " + topK);
        }
        if (!(topP > 0 && topP <= 1)) {
            throw new UsageException("top-p", "expected more than 0 and at most 1, found " + topP);
        }
    }

    /**
     * The next token.
     *
     * @param logits [vocabulary]; negative infinity for a token that cannot come
     * @param step the place in the text: each has its own noise
     * @throws IllegalArgumentException if a logit is NaN, or none is finite
     */
    int choose(float[] logits, int step) {
        double threshold = temperature == 0 ? Double.NEGATIVE_INFINITY : threshold(logits);
        double[] scores = new double[logits.length];
        double best = Double.NEGATIVE_INFINITY;
        for (int token = 0; token < scores.length; token++) {
            if (Float.isNaN(logits[token])) {
                throw new IllegalArgumentException("the logit of token " + token + " is NaN");
            }
            scores[token] = logits[token] < threshold
                    ? Double.NEGATIVE_INFINITY
                    : logits[token] + (temperature == 0 ? 0 : temperature * gumbel(step, token));
            best = Math.max(best, scores[token]);
        }
        if (!Double.isFinite(best)) {
            throw new IllegalArgumentException("no logit is finite");
        }
        int token = 0;
        while (scores[token] < best - TIE) {
            token++;
        }
        return token;
    }

    /** The lowest logit that may be drawn. */
    private double threshold(float[] logits) {
        if (topK == 0 && topP == 1) {
            return Double.NEGATIVE_INFINITY;
        }
        float[] sorted = logits.clone();
        Arrays.sort(sorted);
        int kept = topK == 0 ? sorted.length : Math.min(topK, sorted.length);
        int lowest = sorted.length - kept;
        if (topP < 1) {
            double best = sorted[sorted.length - 1];
            double all = 0;
            for (int i = lowest; i < sorted.length; i++) {
                all += Math.exp((sorted[i] - best) / temperature);
            }
            double sum = 0;
            int at = sorted.length;
            while (at > lowest && sum < topP * all) {
                at--;
                sum += Math.exp((sorted[at] - best) / temperature);
            }
            lowest = at;
        }
        return sorted[lowest];
    }

    private double gumbel(int step, int token) {
        long bits = mixed(mixed(seed + step) + token) >>> 11;
        // in (0, 1): neither logarithm is infinite
        double uniform = (bits + 0.5) * 0x1p-53;
        return -Math.log(-Math.log(uniform));
    }

    /** The output function of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), after its increment. */
    private static long mixed(long state) {
        long z = state + 0x9e3779b97f4a7c15L;
        z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return z ^ (z >>> 31);
    }
}
