package dev.adapt.train.djl;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("The learning rate")
class ScheduleTest {
    @Test
    @DisplayName("rises over the warm-up, peaks once, and falls evenly to what the last step still uses")
    void risesAndFalls() {
        Schedule schedule = new Schedule(4, 20);
        assertEquals(0, schedule.at(0));
        assertEquals(0.5, schedule.at(2));
        assertEquals(1, schedule.at(4));
        assertEquals(0.5, schedule.at(12));
        assertEquals(1 / 16.0, schedule.at(19));
        for (int step = 0; step < 20; step++) {
            assertTrue(step == 4 || schedule.at(step) < 1, "peaks once");
        }
    }

    @Test
    @DisplayName("starts at its peak without a warm-up, and stays in range when all steps warm up")
    void edges() {
        assertEquals(1, new Schedule(0, 5).at(0));
        Schedule all = new Schedule(3, 3);
        assertEquals(2 / 3.0, all.at(2), 1e-12);
    }
}
