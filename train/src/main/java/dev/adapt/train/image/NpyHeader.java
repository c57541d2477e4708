package dev.adapt.train.image;

import dev.adapt.formats.FormatException;
import dev.adapt.train.data.Shown;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/**
 * The header of NumPy's npy format: a Python dict of {@code descr}, {@code fortran_order} and {@code shape}.
 *
 * @param width bytes of an element: 1, 2, 4 or 8
 * @param signed whether elements are in two's complement
 */
public record NpyHeader(List<Integer> shape, int width, boolean signed, ByteOrder order) {
    /** NumPy itself reads no longer header. */
    static final int MAX_BYTES = 10_000;

    private static final Set<String> FIELDS = Set.of("descr", "fortran_order", "shape");

    public NpyHeader {
        shape = List.copyOf(shape);
    }

    /**
     * Parses a header's text, in one pass.
     *
     * @throws FormatException naming the array, if this is no such dict, or not one of integers in row-major order
     */
    public static NpyHeader parse(Path file, String array, byte[] text) {
        return new Parser(file, array, new String(text, StandardCharsets.ISO_8859_1)).header();
    }

    private static final class Parser {
        private final Path file;
        private final String array;
        private final String text;
        private int at;

        Parser(Path file, String array, String text) {
            this.file = file;
            this.array = array;
            this.text = text;
        }

        NpyHeader header() {
            String type = "";
            List<Integer> shape = List.of();
            Set<String> seen = new HashSet<>();
            expect('{');
            while (!next('}')) {
                String field = string();
                if (!FIELDS.contains(field) || !seen.add(field)) {
                    throw wrong("has the field \"" + Shown.of(field) + "\" twice, or npy knows no such field");
                }
                expect(':');
                switch (field) {
                    case "descr" -> type = string();
                    case "fortran_order" -> requireRowMajor();
                    default -> shape = tuple();
                }
                if (!next(',')) {
                    expect('}');
                    break;
                }
            }
            skipBlanks();
            if (at < text.length() || !seen.equals(FIELDS)) {
                throw wrong("expected descr, fortran_order and shape and nothing else");
            }
            return of(type, shape);
        }

        private NpyHeader of(String type, List<Integer> shape) {
            boolean integers = type.length() == 3
                    && "<>|=".indexOf(type.charAt(0)) >= 0
                    && "ui".indexOf(type.charAt(1)) >= 0
                    && "1248".indexOf(type.charAt(2)) >= 0;
            if (!integers) {
                throw wrong("expected integers, found the type \"" + Shown.of(type) + "\"");
            }
            ByteOrder order = type.charAt(0) == '>' ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN;
            return new NpyHeader(shape, type.charAt(2) - '0', type.charAt(1) == 'i', order);
        }

        private String string() {
            skipBlanks();
            char quote = at < text.length() ? text.charAt(at) : ' ';
            int end = quote == '\'' || quote == '"' ? text.indexOf(quote, at + 1) : -1;
            if (end < 0) {
                throw wrong("expected a string at character " + at);
            }
            String value = text.substring(at + 1, end);
            at = end + 1;
            return value;
        }

        private void requireRowMajor() {
            skipBlanks();
            if (text.startsWith("True", at)) {
                throw wrong("expected row-major order, found Fortran's");
            }
            if (!text.startsWith("False", at)) {
                throw wrong("expected True or False at character " + at);
            }
            at += "False".length();
        }

        private List<Integer> tuple() {
            List<Integer> sizes = new ArrayList<>();
            expect('(');
            while (!next(')')) {
                sizes.add(size());
                if (!next(',')) {
                    expect(')');
                    break;
                }
            }
            return sizes;
        }

        private int size() {
            skipBlanks();
            int start = at;
            while (at < text.length() && text.charAt(at) >= '0' && text.charAt(at) <= '9') {
                at++;
            }
            try {
                return Integer.parseInt(text.substring(start, at));
            } catch (NumberFormatException e) {
                throw wrong(String.format(
                        Locale.ROOT, "expected a size of 0 to %,d at character %d", Integer.MAX_VALUE, start));
            }
        }

        private void expect(char wanted) {
            if (!next(wanted)) {
                throw wrong("expected " + wanted + " at character " + at);
            }
        }

        private boolean next(char wanted) {
            skipBlanks();
            if (at < text.length() && text.charAt(at) == wanted) {
                at++;
                return true;
            }
            return false;
        }

        private void skipBlanks() {
            while (at < text.length() && " \n\r\t".indexOf(text.charAt(at)) >= 0) {
                at++;
            }
        }

        private FormatException wrong(String reason) {
            return new FormatException(file, array, reason + ", in the header " + Shown.of(text.strip()));
        }
    }
}
