package dev.adapt.verify.diagnosis;

import dev.adapt.formats.model.AdaptedWeights;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.verify.Cause;
import dev.adapt.verify.Finding;
import dev.adapt.verify.Finding.TensorError;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;

/**
 * Compares all weights of a form with what they should be, and says what is wrong with them together.
 *
 * @param expected what the weights should be
 * @param source what that is called: {@code base + adapter}
 * @param adapted the base with its adapter, where there is one
 * @param scale of that adapter
 * @param required the names without which the form cannot be right
 * @param tables names of embedding tables, of which inputs reach some rows only
 */
public record WeightDiagnosis(
        NamedWeights expected,
        String source,
        Optional<AdaptedWeights> adapted,
        AdapterScale scale,
        Set<String> required,
        Set<String> tables) {
    private static final int PREFIX = 64;
    private static final double MOST = 0.6;

    /** What is wrong; empty where all weights are right, or none could be found. */
    public List<Finding> of(String form, NamedWeights found) {
        TensorDiagnosis diagnosis = new TensorDiagnosis(adapted);
        List<TensorVerdict> wrong = new ArrayList<>();
        Map<String, float[]> beginnings = new LinkedHashMap<>();
        List<String> missing = new ArrayList<>();
        int compared = 0;
        int frozen = 0;
        for (String name : expected.names()) {
            Optional<FloatTensor> should = expected.of(name);
            Optional<FloatTensor> own = found.of(name);
            if (should.isEmpty()) {
                continue;
            }
            float[] values = should.get().values();
            beginnings.put(name, Arrays.copyOf(values, Math.min(PREFIX, values.length)));
            if (own.isEmpty()) {
                missing.add(name);
                continue;
            }
            compared++;
            frozen += adapted.filter(weights -> weights.changes(name)).isPresent() ? 0 : 1;
            diagnosis
                    .of(name, own.get(), should.get(), found.noise().apply(name))
                    .ifPresent(wrong::add);
        }
        if (compared == 0) {
            return List.of();
        }
        missing.removeIf(name -> !required.contains(name) && !name.endsWith(".bias"));
        List<Finding> findings = new ArrayList<>();
        if (compared > missing.size()) {
            findings.addAll(missing(form, missing));
        }
        exchange(wrong, found, beginnings);
        findings.addAll(new Grouped(form, wrong, compared, frozen).findings());
        return findings;
    }

    /** A head that is the embedding table, and is stored all the same as something else. */
    public List<Finding> staleHead(String form, NamedWeights found) {
        Optional<String> head = adapted.flatMap(AdaptedWeights::tiedHead);
        Optional<FloatTensor> should = head.flatMap(expected::of);
        Optional<FloatTensor> own = head.flatMap(found::of);
        if (should.isEmpty() || own.isEmpty()) {
            return List.of();
        }
        Optional<TensorVerdict> verdict = new TensorDiagnosis(adapted)
                .of(head.get(), own.get(), should.get(), found.noise().apply(head.get()));
        return verdict.map(wrong -> new Grouped(form, List.of(wrong), 1, 1).findings())
                .orElse(List.of());
    }

    private static List<Finding> missing(String form, List<String> missing) {
        if (missing.isEmpty()) {
            return List.of();
        }
        boolean biases = missing.stream().allMatch(name -> name.endsWith(".bias"));
        int layer = Summaries.layer(missing.getFirst());
        boolean whole =
                layer >= 0 && missing.size() > 2 && missing.stream().allMatch(name -> Summaries.layer(name) == layer);
        Cause cause = biases ? Cause.BIAS_LOST : whole ? Cause.LAYER_MISSING : Cause.MISSING;
        String what = whole
                ? "layer " + layer + " is missing: it has none of its weights"
                : (biases ? "a bias is lost: it lacks " : "it lacks ") + Summaries.of(missing);
        return List.of(new Finding(form, cause, what, List.of()));
    }

    /** Tensors that differ in no simple way may hold what belongs to another. */
    private void exchange(List<TensorVerdict> wrong, NamedWeights found, Map<String, float[]> beginnings) {
        for (int i = 0; i < wrong.size(); i++) {
            TensorVerdict verdict = wrong.get(i);
            if (verdict.cause() != Cause.VALUES) {
                continue;
            }
            FloatTensor own = found.of(verdict.name()).orElseThrow();
            double tolerance = found.noise().apply(verdict.name()).of(Values.largest(own));
            Optional<String> other = beginnings.keySet().stream()
                    .filter(name -> begins(own, beginnings.getOrDefault(name, new float[0]), tolerance))
                    .filter(name -> expected.of(name)
                            .filter(should ->
                                    should.shape().equals(own.shape()) && Values.maxDistance(own, should) <= tolerance)
                            .isPresent())
                    .findFirst();
            if (other.isPresent()) {
                wrong.set(
                        i,
                        new TensorVerdict(
                                Cause.EXCHANGED,
                                1,
                                "it holds the values of " + other.get(),
                                verdict.adapted(),
                                verdict.error()));
            }
        }
    }

    private static boolean begins(FloatTensor own, float[] beginning, double tolerance) {
        if (beginning.length != Math.min(PREFIX, own.values().length)) {
            return false;
        }
        for (int i = 0; i < beginning.length; i++) {
            if (!(Math.abs(own.values()[i] - beginning[i]) <= tolerance)) {
                return false;
            }
        }
        return true;
    }

    /** The verdicts on the tensors of one form, told together. */
    private final class Grouped {
        private final String form;
        private final List<TensorVerdict> wrong;
        private final int compared;
        private final int frozen;
        private final List<Finding> findings = new ArrayList<>();

        Grouped(String form, List<TensorVerdict> wrong, int compared, int frozen) {
            this.form = form;
            this.wrong = new ArrayList<>(wrong);
            this.compared = compared;
            this.frozen = frozen;
        }

        List<Finding> findings() {
            notFinite();
            otherBase();
            tiedHead();
            notMerged();
            scales();
            take(Cause.MERGED_TWICE, all -> "the adapter was merged twice into " + all);
            take(Cause.SUBTRACTED, all -> "the adapter was subtracted from " + all + ", not added");
            take(
                    Cause.MAGNITUDE_IGNORED,
                    all -> "the magnitude (DoRA) was ignored: the rows of " + all + " have not its lengths");
            take(Cause.UPDATE_TRANSPOSED, all -> "the adapter's update was added transposed to " + all);
            take(Cause.TRANSPOSED, all -> all + " transposed");
            take(Cause.BIAS_LOST, all -> "a bias is lost: " + all + " is zero");
            take(Cause.ZEROED, all -> all + " is zero");
            labelOrder();
            rest();
            return findings;
        }

        private interface Sentence {
            String of(String names);
        }

        private void take(Cause cause, Sentence sentence) {
            List<TensorVerdict> own = taken(verdict -> verdict.cause() == cause);
            if (!own.isEmpty()) {
                add(cause, sentence.of(Summaries.of(names(own))), own);
            }
        }

        private List<TensorVerdict> taken(Predicate<TensorVerdict> which) {
            List<TensorVerdict> own = wrong.stream().filter(which).toList();
            wrong.removeAll(own);
            return own;
        }

        private static List<String> names(List<TensorVerdict> verdicts) {
            return verdicts.stream().map(TensorVerdict::name).toList();
        }

        private void add(Cause cause, String sentence, List<TensorVerdict> verdicts) {
            add(cause, sentence, verdicts, false);
        }

        private void add(Cause cause, String sentence, List<TensorVerdict> verdicts, boolean decides) {
            List<TensorError> errors = verdicts.stream()
                    .map(TensorVerdict::error)
                    .sorted(Comparator.comparingDouble(TensorError::relative).reversed())
                    .toList();
            findings.add(new Finding(form, cause, sentence, errors, decides));
        }

        private void notFinite() {
            List<TensorVerdict> own = taken(verdict -> verdict.cause() == Cause.NOT_FINITE);
            if (own.isEmpty()) {
                return;
            }
            String name = own.getFirst().name();
            boolean half = isBeyondFloat16(name);
            int layer = Summaries.layer(name);
            add(
                    half ? Cause.FLOAT16_OVERFLOW : Cause.NOT_FINITE,
                    (half ? "float16 overflow" + (layer < 0 ? "" : " in layer " + layer) + ": " : "")
                            + Summaries.of(names(own)) + ": " + own.getFirst().detail(),
                    own);
        }

        /** Whether the expected values are beyond float16, so that storing them in it made infinities. */
        private boolean isBeyondFloat16(String name) {
            return expected.of(name)
                    .filter(should -> Values.largest(should) > 65504)
                    .isPresent();
        }

        private void otherBase() {
            List<TensorVerdict> unlike = wrong.stream()
                    .filter(verdict -> verdict.cause() == Cause.VALUES && !verdict.adapted())
                    .toList();
            if (unlike.size() >= 2 && unlike.size() >= MOST * frozen) {
                String what = adapted.isPresent()
                        ? "another base of the same shape: " + unlike.size() + " of " + frozen
                                + " tensors that the adapter does not change differ"
                        : "another model of the same shape: " + unlike.size() + " of " + compared
                                + " tensors differ from those of " + source;
                List<TensorVerdict> all = taken(verdict -> true);
                add(Cause.OTHER_BASE, what, all);
            }
        }

        private void tiedHead() {
            Optional<String> head = adapted.flatMap(AdaptedWeights::tiedHead);
            if (head.isEmpty()) {
                return;
            }
            List<TensorVerdict> own = wrong.stream()
                    .filter(verdict -> verdict.name().equals(head.get()))
                    .toList();
            boolean tableRight = wrong.stream().noneMatch(verdict -> tables.contains(verdict.name()));
            if (!own.isEmpty() && tableRight && own.getFirst().cause() != Cause.NOT_FINITE) {
                wrong.removeAll(own);
                add(
                        Cause.TIED_HEAD_STALE,
                        "tied head stale: " + head.get() + " should be the embedding table, which was changed"
                                + (own.getFirst().cause() == Cause.ADAPTER_NOT_MERGED
                                        ? "; it is still that of the base"
                                        : ""),
                        own,
                        true);
            }
        }

        private void notMerged() {
            List<TensorVerdict> own = taken(verdict -> verdict.cause() == Cause.ADAPTER_NOT_MERGED);
            if (own.isEmpty()) {
                return;
            }
            AdaptedWeights weights = adapted.orElseThrow();
            long changed = expected.names().stream().filter(weights::changes).count();
            if (changed == own.size()) {
                add(Cause.ADAPTER_NOT_MERGED, "equals the base: the adapter was not merged", own);
            } else {
                add(
                        Cause.ADAPTER_PARTLY_MERGED,
                        "the adapter was not merged into " + own.size() + " of " + changed
                                + " tensors that it changes: " + Summaries.of(names(own)) + ", still "
                                + (own.size() == 1 ? "that" : "those") + " of the base",
                        own);
            }
        }

        private void scales() {
            while (true) {
                Optional<TensorVerdict> first = wrong.stream()
                        .filter(verdict -> verdict.cause() == Cause.SCALE)
                        .findFirst();
                if (first.isEmpty()) {
                    return;
                }
                double factor = first.get().factor();
                List<TensorVerdict> own = taken(verdict -> verdict.cause() == Cause.SCALE
                        && Math.abs(verdict.factor() - factor) <= 0.02 * Math.abs(factor) + 1e-6);
                add(Cause.SCALE, scale.named(factor) + ", in " + Summaries.of(names(own)), own);
            }
        }

        private void labelOrder() {
            List<TensorVerdict> own =
                    taken(verdict -> verdict.cause() == Cause.PERMUTED && TensorDiagnosis.isOfLabels(verdict.name()));
            if (!own.isEmpty()) {
                add(
                        Cause.LABEL_ORDER,
                        "a head of another label order: " + own.getFirst().name() + ", "
                                + own.getFirst().detail(),
                        own);
            }
        }

        private void rest() {
            while (!wrong.isEmpty()) {
                TensorVerdict first = wrong.getFirst();
                List<TensorVerdict> own = taken(verdict -> verdict.cause() == first.cause()
                        && (verdict.cause() != Cause.ROWS || verdict.name().equals(first.name())));
                add(first.cause(), sentence(first, own), own);
            }
        }

        private String sentence(TensorVerdict first, List<TensorVerdict> all) {
            String names = Summaries.of(names(all));
            String detail = first.detail().isEmpty() ? "" : ": " + first.detail();
            return switch (first.cause()) {
                case QUANTIZATION_SCALE ->
                    String.format(
                            Locale.ROOT, "the int8 scale of %s is %.4g times what it should be", names, first.factor());
                case SHIFTED ->
                    tables.contains(first.name()) ? "vocabulary off by one: " + names + detail : names + detail;
                case VOCABULARY_SIZE -> names + ": it has another number of rows" + detail;
                case VALUES ->
                    adapted.isPresent()
                            ? "not " + source + ": " + names + (all.size() == 1 ? " differs" : " differ") + detail
                            : names + " not as in " + source + detail;
                default -> names + detail;
            };
        }
    }
}
