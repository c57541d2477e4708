package dev.adapt.train;

/**
 * How well predicted classes agree with true ones.
 *
 * @param loss mean cross-entropy
 * @param accuracy share of right predictions
 * @param f1 of class 1 where there are two classes, else the mean over all classes
 * @param matthews Matthews correlation; for more than two classes Gorodkin's R_K (Comput. Biol. Chem. 28, 2004)
 */
public record Scores(double loss, double accuracy, double f1, double matthews) {
    /** The number by which the best epoch is chosen. */
    public enum Metric {
        ACCURACY,
        F1,
        MATTHEWS;

        /** This number of the scores. */
        public double of(Scores scores) {
            return switch (this) {
                case ACCURACY -> scores.accuracy();
                case F1 -> scores.f1();
                case MATTHEWS -> scores.matthews();
            };
        }
    }

    /**
     * The scores of predictions.
     *
     * @param confusion how often class i (first index) was predicted as class j
     */
    static Scores of(double loss, long[][] confusion) {
        int n = confusion.length;
        double all = 0;
        double right = 0;
        double[] truth = new double[n];
        double[] predicted = new double[n];
        for (int i = 0; i < n; i++) {
            for (int j = 0; j < n; j++) {
                all += confusion[i][j];
                truth[i] += confusion[i][j];
                predicted[j] += confusion[i][j];
            }
            right += confusion[i][i];
        }
        double f1 = 0;
        for (int i = n == 2 ? 1 : 0; i < n; i++) {
            double sum = truth[i] + predicted[i];
            f1 += sum == 0 ? 0 : 2 * confusion[i][i] / sum;
        }
        return new Scores(loss, right / all, n == 2 ? f1 : f1 / n, matthews(all, right, truth, predicted));
    }

    private static double matthews(double all, double right, double[] truth, double[] predicted) {
        double both = 0;
        double ofTruth = 0;
        double ofPredicted = 0;
        for (int i = 0; i < truth.length; i++) {
            both += truth[i] * predicted[i];
            ofTruth += truth[i] * truth[i];
            ofPredicted += predicted[i] * predicted[i];
        }
        double spread = Math.sqrt((all * all - ofPredicted) * (all * all - ofTruth));
        return spread == 0 ? 0 : (right * all - both) / spread;
    }
}
