package dev.adapt.merge.engine;

import java.util.ArrayDeque;
import java.util.Deque;

/** Where packed right factors lie: as many arrays as are in use at a time, all of one size, used again from weight to weight. */
final class FactorMemory {
    private final Deque<float[]> free = new ArrayDeque<>();
    private final int floats;

    /** Arrays of that many floats. */
    FactorMemory(int floats) {
        this.floats = floats;
    }

    /** An array that nobody uses. What it holds is of no meaning. */
    synchronized float[] take() {
        return free.isEmpty() ? new float[floats] : free.pop();
    }

    synchronized void giveBack(float[] array) {
        free.push(array);
    }
}
