package dev.adapt.train.djl;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.adapt.train.djl.Schedule.Decay;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

@DisplayName("How the learning rate falls after the warm-up")
class DecayTest {
    @Test
    void falls() {
        for (Decay decay : Decay.values()) {
            Schedule schedule = new Schedule(4, 24, decay);
            assertEquals(0.5, schedule.at(2), 1e-15, decay + " warms up linearly");
            assertEquals(1, schedule.at(4), 1e-15, decay + " reaches its peak");
        }
        assertEquals(0.75, new Schedule(4, 24, Decay.LINEAR).at(9), 1e-15);
        assertEquals((1 + Math.sqrt(0.5)) / 2, new Schedule(4, 24, Decay.COSINE).at(9), 1e-15);
        assertEquals(0.5, new Schedule(4, 24, Decay.COSINE).at(14), 1e-15);
        assertEquals(0, new Schedule(4, 24, Decay.COSINE).at(24), 1e-15);
        assertEquals(1, new Schedule(4, 24, Decay.CONSTANT).at(23), 1e-15);
    }
}
