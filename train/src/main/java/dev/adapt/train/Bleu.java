package dev.adapt.train;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * BLEU of a corpus (Papineni et al., ACL 2002) as sacreBLEU computes it by default (Post, arXiv 1804.08771; signature
 * {@code case:mixed|eff:no|tok:13a|smooth:exp}): n-grams up to 4, mteval-v13a's tokens, the reference of closest length,
 * and for an order without a match half, a quarter, … of one match.
 *
 * @param score 0 to 100
 * @param precisions of 1- to 4-grams, smoothed, 0 to 100
 * @param brevityPenalty 1 where the hypotheses are as long as the references
 */
public record Bleu(
        double score, List<Double> precisions, double brevityPenalty, long hypothesisLength, long referenceLength) {
    private static final int ORDER = 4;
    private static final Pattern SPACES = Pattern.compile("\\s+", Pattern.UNICODE_CHARACTER_CLASS);

    /** One step of mteval-v13a: what a pattern finds is written with spaces. */
    private record Rule(Pattern pattern, String replacement) {
        static Rule of(String pattern, String replacement) {
            return new Rule(Pattern.compile(pattern), replacement);
        }
    }

    /** Symbols stand alone; so do periods and commas outside numbers, and a dash after a digit. */
    private static final List<Rule> RULES = List.of(
            Rule.of("([{-~\\[-` -&(-+:-@/])", " $1 "),
            Rule.of("([^0-9])([.,])", "$1 $2 "),
            Rule.of("([.,])([^0-9])", " $1 $2"),
            Rule.of("([0-9])(-)", "$1 $2 "));

    public Bleu {
        precisions = List.copyOf(precisions);
    }

    /**
     * BLEU of generated texts.
     *
     * @param references for each text one or more texts that are right
     * @throws IllegalArgumentException if a text has no reference, or there are not as many of both
     */
    public static Bleu of(List<String> texts, List<List<String>> references) {
        if (texts.size() != references.size()) {
            throw new IllegalArgumentException(texts.size() + " texts, references for " + references.size());
        }
        long[] matches = new long[ORDER];
        long[] all = new long[ORDER];
        long length = 0;
        long referenceLength = 0;
        for (int i = 0; i < texts.size(); i++) {
            List<String> text = tokens(texts.get(i));
            List<List<String>> right =
                    references.get(i).stream().map(Bleu::tokens).toList();
            length += text.size();
            referenceLength += closest(text.size(), right);
            for (int n = 1; n <= ORDER; n++) {
                Map<List<String>, Integer> allowed = new HashMap<>();
                for (List<String> reference : right) {
                    grams(reference, n).forEach((gram, count) -> allowed.merge(gram, count, Math::max));
                }
                Map<List<String>, Integer> found = grams(text, n);
                for (Map.Entry<List<String>, Integer> gram : found.entrySet()) {
                    all[n - 1] += gram.getValue();
                    matches[n - 1] += Math.min(gram.getValue(), allowed.getOrDefault(gram.getKey(), 0));
                }
            }
        }
        return of(matches, all, length, referenceLength);
    }

    private static Bleu of(long[] matches, long[] all, long length, long referenceLength) {
        double penalty =
                length >= referenceLength ? 1 : length == 0 ? 0 : Math.exp(1 - (double) referenceLength / length);
        List<Double> precisions = new ArrayList<>();
        double half = 1;
        double logs = 0;
        for (int n = 0; n < ORDER; n++) {
            half /= matches[n] == 0 ? 2 : 1;
            double precision = all[n] == 0 ? 0 : 100.0 * (matches[n] == 0 ? half : matches[n]) / all[n];
            precisions.add(precision);
            logs += Math.log(precision);
        }
        double score = matches[0] == 0 ? 0 : penalty * Math.exp(logs / ORDER);
        return new Bleu(score, precisions, penalty, length, referenceLength);
    }

    /** The length of the reference nearest in length, of two the shorter. */
    private static int closest(int length, List<List<String>> references) {
        return references.stream()
                .map(List::size)
                .min((left, right) -> {
                    int nearer = Integer.compare(Math.abs(left - length), Math.abs(right - length));
                    return nearer == 0 ? Integer.compare(left, right) : nearer;
                })
                .orElseThrow(() -> new IllegalArgumentException("a text without a reference"));
    }

    private static Map<List<String>, Integer> grams(List<String> tokens, int n) {
        Map<List<String>, Integer> grams = new HashMap<>();
        for (int i = 0; i + n <= tokens.size(); i++) {
            grams.merge(tokens.subList(i, i + n), 1, Integer::sum);
        }
        return grams;
    }

    /** The tokens of mteval-v13a, which the workshops on machine translation count. */
    static List<String> tokens(String text) {
        String line = " "
                + text.replace("<skipped>", "")
                        .replace("-\n", "")
                        .replace("\n", " ")
                        .replace("&quot;", "\"")
                        .replace("&amp;", "&")
                        .replace("&lt;", "<")
                        .replace("&gt;", ">")
                + " ";
        for (Rule rule : RULES) {
            line = rule.pattern().matcher(line).replaceAll(rule.replacement());
        }
        return Stream.of(SPACES.split(line)).filter(token -> !token.isEmpty()).toList();
    }
}
