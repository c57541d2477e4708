package dev.adapt.train.template;

import dev.adapt.train.template.Value.Kind;
import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Values as Python prints them, and as its JSON. */
final class Printer {
    /**
     * How to lay out JSON.
     *
     * @param indent what each level begins with; everything is on one line where it is empty
     */
    record Json(boolean ascii, boolean sorted, Optional<String> indent, String betweenItems, String afterKeys) {}

    private final Budget budget;

    Printer(Budget budget) {
        this.budget = budget;
    }

    /** As {@code str(value)}; nothing for what is undefined. */
    String text(Value value) {
        return switch (value) {
            case Value.Text text -> text.text();
            case Value.Undefined ignored -> "";
            default -> {
                Output out = new Output(budget);
                represent(value, out);
                yield out.text();
            }
        };
    }

    /** As {@code repr(value)}. */
    private void represent(Value value, Output out) {
        budget.enter();
        switch (value) {
            case Value.Text text -> quote(text.text(), out);
            case Value.Int number -> out.append(number.value().toString());
            case Value.Real real -> out.append(real(real.value()));
            case Value.Bool bool -> out.append(bool.value() ? "True" : "False");
            case Value.None ignored -> out.append("None");
            case Value.Undefined ignored -> out.append("Undefined");
            case Value.Dict dict -> {
                String separator = "{";
                for (Map.Entry<Value, Value> entry : dict.entries().entrySet()) {
                    represent(entry.getKey(), out.append(separator));
                    represent(entry.getValue(), out.append(": "));
                    separator = ", ";
                }
                out.append(dict.entries().isEmpty() ? "{}" : "}");
            }
            case Value.Sequence sequence when sequence.kind() != Kind.RANGE -> represent(sequence, out);
            default -> throw new TemplateFault(Operators.described(value) + " cannot be printed");
        }
        budget.leave();
    }

    private void represent(Value.Sequence sequence, Output out) {
        boolean tuple = sequence.kind() == Kind.TUPLE;
        boolean view = !sequence.kind().indexed;
        out.append(view ? sequence.kind().python + "([" : tuple ? "(" : "[");
        String separator = "";
        for (Value item : sequence.items()) {
            represent(item, out.append(separator));
            separator = ", ";
        }
        boolean single = tuple && sequence.items().size() == 1;
        out.append(view ? "])" : tuple ? (single ? ",)" : ")") : "]");
    }

    private static void quote(String text, Output out) {
        char quote = text.indexOf('\'') >= 0 && text.indexOf('"') < 0 ? '"' : '\'';
        out.append(quote);
        text.codePoints().forEach(point -> {
            switch (point) {
                case '\\' -> out.append("\\\\");
                case '\n' -> out.append("\\n");
                case '\r' -> out.append("\\r");
                case '\t' -> out.append("\\t");
                default -> {
                    if (point == quote) {
                        out.append("\\").append(point);
                    } else if (isPrintable(point)) {
                        out.append(point);
                    } else {
                        HexFormat hex = HexFormat.of();
                        out.append(
                                point < 0x100
                                        ? "\\x" + hex.toHexDigits(point, 2)
                                        : point < 0x10000
                                                ? "\\u" + hex.toHexDigits(point, 4)
                                                : "\\U" + hex.toHexDigits(point, 8));
                    }
                }
            }
        });
        out.append(quote);
    }

    private static boolean isPrintable(int point) {
        return switch (Character.getType(point)) {
            case Character.CONTROL,
                    Character.FORMAT,
                    Character.SURROGATE,
                    Character.PRIVATE_USE,
                    Character.UNASSIGNED,
                    Character.LINE_SEPARATOR,
                    Character.PARAGRAPH_SEPARATOR -> false;
            case Character.SPACE_SEPARATOR -> point == ' ';
            default -> true;
        };
    }

    /** The shortest digits that are read back as {@code value}, as Python lays them out. */
    static String real(double value) {
        if (!Double.isFinite(value)) {
            return Double.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
        }
        String sign = value < 0 || 1 / value < 0 ? "-" : "";
        if (value == 0) {
            return sign + "0.0";
        }
        BigDecimal exact = shortest(Math.abs(value));
        String digits = exact.unscaledValue().toString();
        int point = digits.length() - exact.scale();
        if (point < -3 || point > 16) {
            String fraction = digits.length() > 1 ? "." + digits.substring(1) : "";
            int exponent = Math.abs(point - 1);
            return sign
                    + digits.charAt(0)
                    + fraction
                    + (point > 0 ? "e+" : "e-")
                    + (exponent < 10 ? "0" : "")
                    + exponent;
        }
        if (point <= 0) {
            return sign + "0." + "0".repeat(-point) + digits;
        }
        return digits.length() <= point
                ? sign + digits + "0".repeat(point - digits.length()) + ".0"
                : sign + digits.substring(0, point) + "." + digits.substring(point);
    }

    /** Java gives at least two digits, also where one would do. */
    private static BigDecimal shortest(double value) {
        BigDecimal digits = new BigDecimal(Double.toString(value)).stripTrailingZeros();
        BigDecimal one =
                digits.round(new MathContext(1, RoundingMode.HALF_EVEN)).stripTrailingZeros();
        return one.doubleValue() == value ? one : digits;
    }

    String json(Value value, Json style) {
        Output out = new Output(budget);
        json(value, style, 0, out);
        return out.text();
    }

    private void json(Value value, Json style, int level, Output out) {
        budget.enter();
        switch (value) {
            case Value.Text text -> jsonText(text.text(), style.ascii(), out);
            case Value.Real real
            when !Double.isFinite(real.value()) ->
                out.append(Double.isNaN(real.value()) ? "NaN" : real.value() > 0 ? "Infinity" : "-Infinity");
            case Value.Int number -> represent(number, out);
            case Value.Real real -> represent(real, out);
            case Value.Bool bool -> out.append(bool.value() ? "true" : "false");
            case Value.None ignored -> out.append("null");
            case Value.Dict dict -> jsonDict(dict, style, level, out);
            case Value.Sequence list
            when list.kind() == Kind.LIST || list.kind() == Kind.TUPLE -> {
                Iterator<Value> items = list.items().iterator();
                out.append("[");
                while (items.hasNext()) {
                    newLine(style, level + 1, out);
                    json(items.next(), style, level + 1, out);
                    out.append(items.hasNext() ? style.betweenItems() : "");
                }
                newLine(style, list.items().isEmpty() ? -1 : level, out);
                out.append("]");
            }
            default -> throw new TemplateFault(Operators.described(value) + " has no form in JSON");
        }
        budget.leave();
    }

    private void jsonDict(Value.Dict dict, Json style, int level, Output out) {
        List<Map.Entry<Value, Value>> entries = new ArrayList<>(dict.entries().entrySet());
        if (style.sorted()) {
            entries.sort(Comparator.comparing(Map.Entry::getKey, new Operators(budget)::order));
        }
        Iterator<Map.Entry<Value, Value>> rest = entries.iterator();
        out.append("{");
        while (rest.hasNext()) {
            Map.Entry<Value, Value> entry = rest.next();
            newLine(style, level + 1, out);
            Value key = entry.getKey();
            jsonText(key == Value.None.NONE ? "null" : text(key), style.ascii(), out);
            json(entry.getValue(), style, level + 1, out.append(style.afterKeys()));
            out.append(rest.hasNext() ? style.betweenItems() : "");
        }
        newLine(style, entries.isEmpty() ? -1 : level, out);
        out.append("}");
    }

    private static void newLine(Json style, int level, Output out) {
        if (level >= 0 && style.indent().isPresent()) {
            out.append("\n").repeat(style.indent().get(), level);
        }
    }

    private static void jsonText(String text, boolean ascii, Output out) {
        out.append("\"");
        for (int i = 0; i < text.length(); i++) {
            char next = text.charAt(i);
            int plain = "\"\\\n\r\t\b\f".indexOf(next);
            if (plain >= 0) {
                out.append("\\").append("\"\\nrtbf".charAt(plain));
            } else if (next < ' ' || (ascii && next > '~')) {
                out.append("\\u" + HexFormat.of().toHexDigits(next));
            } else {
                out.append(Character.toString(next));
            }
        }
        out.append("\"");
    }
}
