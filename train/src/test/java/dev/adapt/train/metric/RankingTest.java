package dev.adapt.train.metric;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("Ranks of passages")
class RankingTest {
    @Test
    @DisplayName("give recall and nDCG as worked out by hand")
    void byHand() {
        Ranking ranking = new Ranking();
        // passages 1 and 3 answer, found at ranks 1 and 3 of 4
        ranking.add(new double[] {0.5, 0.9, 0.1, 0.2}, Set.of(1, 3));
        // passage 0 answers, found at rank 12 of 12
        ranking.add(new double[] {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, Set.of(0));
        Map<Metric, Double> values = ranking.values();
        assertEquals((0.5 + 0) / 2, values.getOrDefault(Metric.RECALL_1, -1.0), 1e-12);
        assertEquals((1.0 + 0) / 2, values.getOrDefault(Metric.RECALL_5, -1.0), 1e-12);
        assertEquals((1.0 + 0) / 2, values.getOrDefault(Metric.RECALL_10, -1.0), 1e-12);
        // gains 1 at rank 1 and 1/log2(4) = 0.5 at rank 3; at best 1 and 1/log2(3)
        double best = 1 + Math.log(2) / Math.log(3);
        assertEquals(1.5 / best / 2, values.getOrDefault(Metric.NDCG_10, -1.0), 1e-12);
    }

    @Test
    @DisplayName("count wrong passages of equal score as found first, so that equal vectors are worth nothing")
    void ties() {
        Ranking ranking = new Ranking();
        ranking.add(new double[] {1, 1, 1}, Set.of(0));
        assertEquals(0, ranking.values().getOrDefault(Metric.RECALL_1, -1.0), 1e-12);
        assertEquals(1, ranking.values().getOrDefault(Metric.RECALL_5, -1.0), 1e-12);
    }
}
