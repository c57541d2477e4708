package dev.adapt.merge.convert;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Shape;
import dev.adapt.merge.lowrank.Factors;
import dev.adapt.merge.lowrank.Rows;
import dev.adapt.merge.lowrank.Svd;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;

/**
 * How several adapters become one, layer by layer, by the definitions of PEFT's {@code add_weighted_adapter}, in float64.
 * The result's scale is 1: the adapters' own scales and the weights are in its factors.
 *
 * @param density the share of elements that pruning keeps, more than 0 and at most 1
 * @param sign whose sign is the majority's, where the type asks
 * @param seed of the {@link Mask masks}, where the type draws them
 * @param rank of the result, for the types that work on ΔW; the largest of the adapters' where it is not given
 */
public record Combination(CombinationType type, double density, MajoritySign sign, long seed, OptionalInt rank) {
    /** How the sign of an element is elected, from the elements that pruning left. */
    public enum MajoritySign {
        /** The sign of their sum. */
        TOTAL,
        /** The sign that more of them have. */
        FREQUENCY
    }

    /**
     * One adapter's part in a layer, {@code ΔW = scale·left·right}.
     *
     * @param adapter its place in the list of all adapters, from 0
     * @param factors unscaled: LoRA's B and A
     * @param weight the user's
     */
    record Term(int adapter, Factors factors, double scale, double weight) {}

    public Combination {
        if (!(density > 0 && density <= 1)) {
            throw new IllegalArgumentException("density " + density);
        }
    }

    /**
     * The combined factors of a layer.
     *
     * @param terms at least one; where {@link CombinationType#onFactors}, all of one rank
     */
    Factors of(String module, List<Term> terms) {
        if (type == CombinationType.CAT) {
            return concatenated(terms);
        }
        if (type.onFactors()) {
            DoubleTensor a = merged(module, "A", terms, term -> term.factors().right(), Combination::signedRoot);
            DoubleTensor b = merged(module, "B", terms, term -> term.factors().left(), Combination::root);
            return new Factors(b, a);
        }
        int cut = rank.orElseGet(() ->
                terms.stream().mapToInt(term -> term.factors().rank()).max().orElseThrow());
        if (!type.prunes()) {
            Factors sum = concatenated(terms);
            return Svd.ofProduct(sum.left(), sum.right()).truncated(cut).factors();
        }
        DoubleTensor delta = merged(module, "W", terms, Combination::delta, Term::weight);
        return Svd.leading(Rows.of(delta), cut).factors();
    }

    private static Factors concatenated(List<Term> terms) {
        int rank = terms.stream().mapToInt(term -> term.factors().rank()).sum();
        int out = terms.getFirst().factors().out();
        int in = terms.getFirst().factors().in();
        double[] left = new double[Math.multiplyExact(out, rank)];
        double[] right = new double[Math.multiplyExact(rank, in)];
        int at = 0;
        for (Term term : terms) {
            int own = term.factors().rank();
            double[] a = term.factors().right().values();
            double[] b = term.factors().left().values();
            for (int i = 0; i < a.length; i++) {
                right[at * in + i] = a[i] * (term.weight() * term.scale());
            }
            for (int row = 0; row < out; row++) {
                System.arraycopy(b, row * own, left, row * rank + at, own);
            }
            at += own;
        }
        return new Factors(new DoubleTensor(Shape.of(out, rank), left), new DoubleTensor(Shape.of(rank, in), right));
    }

    private static double root(Term term) {
        return Math.sqrt(Math.abs(term.weight() * term.scale()));
    }

    /** A carries the sign: on both factors it would cancel itself. */
    private static double signedRoot(Term term) {
        return Math.copySign(root(term), term.weight() * term.scale());
    }

    private static DoubleTensor delta(Term term) {
        DoubleTensor delta = term.factors().delta().toTensor();
        double[] values = delta.values();
        Arrays.setAll(values, i -> values[i] * term.scale());
        return delta;
    }

    /** What a term brings to the sum: A, B or ΔW. */
    private interface Operand {
        DoubleTensor of(Term term);
    }

    private DoubleTensor merged(
            String module, String part, List<Term> terms, Operand operand, ToDoubleFunction<Term> weight) {
        List<double[]> pruned = terms.stream()
                .map(term -> pruned(operand.of(term).values(), Mask.of(seed, term.adapter(), module, part, density)))
                .toList();
        double[] weights = terms.stream().mapToDouble(weight).toArray();
        double[] sum = new double[pruned.getFirst().length];
        IntStream.range(0, sum.length)
                .parallel()
                .forEach(i -> sum[i] = type.electsSign() ? elected(pruned, weights, i) : summed(pruned, weights, i));
        return new DoubleTensor(operand.of(terms.getFirst()).shape(), sum);
    }

    private double[] pruned(double[] values, Mask mask) {
        if (density == 1 || !type.prunes()) {
            return values;
        }
        double[] kept = new double[values.length];
        if (type.draws()) {
            Arrays.setAll(kept, i -> mask.keeps(i) ? values[i] / density : 0);
            return kept;
        }
        double[] sizes = new double[values.length];
        Arrays.setAll(sizes, i -> Math.abs(values[i]));
        int left = (int) (density * values.length);
        Arrays.parallelSort(sizes);
        double least = left == 0 ? Double.POSITIVE_INFINITY : sizes[values.length - left];
        int larger = sizes.length - firstAbove(sizes, least);
        int equal = left - larger;
        // of equal elements at the border the first are kept
        for (int i = 0; i < values.length; i++) {
            double size = Math.abs(values[i]);
            if (size > least || (size == least && equal-- > 0)) {
                kept[i] = values[i];
            }
        }
        return kept;
    }

    private static int firstAbove(double[] sorted, double bound) {
        int at = sorted.length;
        while (at > 0 && sorted[at - 1] > bound) {
            at--;
        }
        return at;
    }

    private static double summed(List<double[]> tensors, double[] weights, int i) {
        double sum = 0;
        for (int t = 0; t < weights.length; t++) {
            sum += tensors.get(t)[i] * weights[t];
        }
        return sum;
    }

    private double elected(List<double[]> tensors, double[] weights, int i) {
        double votes = 0;
        for (double[] tensor : tensors) {
            votes += sign == MajoritySign.TOTAL ? tensor[i] : Math.signum(tensor[i]);
        }
        double majority = votes >= 0 ? 1 : -1;
        double sum = 0;
        int count = 0;
        for (int t = 0; t < weights.length; t++) {
            if (Math.signum(tensors.get(t)[i]) == majority) {
                sum += tensors.get(t)[i] * weights[t];
                count++;
            }
        }
        return sum / Math.max(count, 1);
    }
}
