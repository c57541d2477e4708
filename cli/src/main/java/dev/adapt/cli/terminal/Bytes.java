package dev.adapt.cli.terminal;

import dev.adapt.formats.UsageException;
import java.math.BigDecimal;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A number of bytes, as people read it: {@code 30.7 KB}, in powers of 1000. */
public record Bytes(long count) {
    private static final Pattern SIZE =
            Pattern.compile("(\\d+(?:\\.\\d+)?) ?(?:([KMGT])(i?))?B?", Pattern.CASE_INSENSITIVE);

    /**
     * Reads a size as people write it: 5GB and 500MB in powers of 1000, 2GiB and 64KiB in powers of 1024, or bytes.
     *
     * @throws UsageException if it is none, or not at least one byte
     */
    public static Bytes parse(String option, String text) {
        Matcher size = SIZE.matcher(text);
        if (size.matches()) {
            String unit = size.group(2) == null ? "" : size.group(2).toUpperCase(Locale.ROOT);
            boolean binary = size.group(3) != null && !size.group(3).isEmpty();
            BigDecimal factor =
                    BigDecimal.valueOf(binary ? 1024 : 1000).pow(" KMGT".indexOf(unit.isEmpty() ? " " : unit));
            BigDecimal bytes = new BigDecimal(size.group(1)).multiply(factor);
            if (bytes.compareTo(BigDecimal.ONE) >= 0 && bytes.compareTo(BigDecimal.valueOf(Long.MAX_VALUE)) <= 0) {
                return new Bytes(bytes.longValue());
            }
        }
        throw new UsageException(
                option + ": expected a size such as 5GB, 500MB or 2GiB, found " + (text.isEmpty() ? "nothing" : text));
    }

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
