package dev.adapt.train.metric;

/** How often examples of one class were predicted as another, and what follows from that. */
public final class Confusion {
    private final long[][] counts;

    /** Of so many classes; nothing was predicted yet. */
    public Confusion(int classes) {
        this.counts = new long[classes][classes];
    }

    /** An example of class {@code truth} was predicted as {@code predicted}. */
    public void add(int truth, int predicted) {
        counts[truth][predicted]++;
    }

    /** How many examples of one class were predicted as another. */
    public long count(int truth, int predicted) {
        return counts[truth][predicted];
    }

    /** The share of right ones among those predicted as a class; 0 where there are none. */
    public double precision(int i) {
        return counts[i][i] == 0 ? 0 : counts[i][i] / predicted(i);
    }

    /** The share of right ones among those of a class; 0 where there are none. */
    public double recall(int i) {
        return counts[i][i] == 0 ? 0 : counts[i][i] / truth(i);
    }

    private double all() {
        double all = 0;
        for (int i = 0; i < counts.length; i++) {
            all += truth(i);
        }
        return all;
    }

    private double right() {
        double right = 0;
        for (int i = 0; i < counts.length; i++) {
            right += counts[i][i];
        }
        return right;
    }

    private double truth(int i) {
        double sum = 0;
        for (long count : counts[i]) {
            sum += count;
        }
        return sum;
    }

    private double predicted(int j) {
        double sum = 0;
        for (long[] row : counts) {
            sum += row[j];
        }
        return sum;
    }

    /** See {@link Metric#ACCURACY}. */
    public double accuracy() {
        return right() / all();
    }

    /** See {@link Metric#F1}; a class that is neither there nor predicted counts as 0. */
    public double f1() {
        int n = counts.length;
        double f1 = 0;
        for (int i = n == 2 ? 1 : 0; i < n; i++) {
            double sum = truth(i) + predicted(i);
            f1 += sum == 0 ? 0 : 2 * counts[i][i] / sum;
        }
        return n == 2 ? f1 : f1 / n;
    }

    /** See {@link Metric#MATTHEWS}; 0 where all true or all predicted classes are one. */
    public double matthews() {
        double all = all();
        double both = 0;
        double ofTruth = 0;
        double ofPredicted = 0;
        for (int i = 0; i < counts.length; i++) {
            both += truth(i) * predicted(i);
            ofTruth += truth(i) * truth(i);
            ofPredicted += predicted(i) * predicted(i);
        }
        double spread = Math.sqrt((all * all - ofPredicted) * (all * all - ofTruth));
        return spread == 0 ? 0 : (right() * all - both) / spread;
    }
}
