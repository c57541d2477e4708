package dev.adapt.cli;

import java.util.Locale;

/** A number of bytes, as people read it: {@code 30.7 KB}, in powers of 1000. */
record Bytes(long count) {
    @Override
    public String toString() {
        if (count < 1000) {
            return count + " B";
        }
        double value = count;
        int power = 0;
        while (value >= 999.95 && power < 4) {
            value /= 1000;
            power++;
        }
        return String.format(Locale.ROOT, "%.1f %sB", value, " KMGT".charAt(power));
    }
}
