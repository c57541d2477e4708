package dev.adapt.train.template;

import dev.adapt.train.template.Arguments.Bound;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.RoundingMode;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** The filters that have to do with one value; {@link ListFilters} has those of lists. */
final class Filters {
    private static final Map<String, Filter> ALL = Map.ofEntries(
            text("trim", List.of("chars"), (in, own, by) -> in.strip(own, by.text("chars"), true, true)),
            text("upper", List.of(), (in, own, by) -> in.upper(own)),
            text("lower", List.of(), (in, own, by) -> in.lower(own)),
            text("title", List.of(), (in, own, by) -> in.titleOfWords(own)),
            text("capitalize", List.of(), (in, own, by) -> in.capitalized(own)),
            text("string", List.of(), (in, own, by) -> own),
            text("safe", List.of(), (in, own, by) -> own),
            text("center", List.of("width"), (in, own, by) -> in.padded(own, by.integer("width", 80), " ", true, true)),
            text(
                    "replace",
                    List.of("old", "new", "count"),
                    (in, own, by) -> in.replace(own, by.needText("old"), by.needText("new"), by.integer("count", -1))),
            text("escape", List.of(), Filters::escaped),
            text("e", List.of(), Filters::escaped),
            filter("indent", List.of("width", "first", "blank"), Filters::indented),
            filter(
                    "wordcount",
                    List.of(),
                    (run, own, by) -> words(run, run.printer().text(own))),
            filter("default", List.of("default_value", "boolean"), Filters::preset),
            filter("d", List.of("default_value", "boolean"), Filters::preset),
            filter("tojson", List.of("ensure_ascii", "indent", "separators", "sort_keys"), Filters::json),
            filter("int", List.of("default", "base"), Filters::integer),
            filter("float", List.of("default"), Filters::real),
            filter("abs", List.of(), (run, own, by) -> magnitude(own)),
            filter("round", List.of("precision", "method"), (run, own, by) -> rounded(own, by)));

    private Filters() {}

    /** A filter with named parameters. */
    record Filter(List<String> parameters, Body body) {
        interface Body {
            Value apply(Interpreter run, Value own, Bound by);
        }
    }

    private interface TextBody {
        String apply(TextMethods in, String own, Bound by);
    }

    static Map.Entry<String, Filter> filter(String name, List<String> parameters, Filter.Body body) {
        return Map.entry(name, new Filter(parameters, body));
    }

    private static Map.Entry<String, Filter> text(String name, List<String> parameters, TextBody body) {
        return filter(
                name,
                parameters,
                (run, own, by) ->
                        new Value.Text(body.apply(run.texts(), run.printer().text(own), by)));
    }

    static boolean exists(String name) {
        return ALL.containsKey(name) || ListFilters.exists(name);
    }

    static Value apply(Interpreter run, String name, Value input, Arguments arguments) {
        Optional<Filter> own = Optional.ofNullable(ALL.get(name));
        return own.map(filter -> filter.body()
                        .apply(run, input, arguments.bind(filter.parameters().toArray(String[]::new))))
                .orElseGet(() -> ListFilters.apply(run, name, input, arguments));
    }

    private static String escaped(TextMethods in, String own, Bound by) {
        String text = own;
        for (Map.Entry<String, String> mark : List.of(
                Map.entry("&", "&amp;"),
                Map.entry("<", "&lt;"),
                Map.entry(">", "&gt;"),
                Map.entry("'", "&#39;"),
                Map.entry("\"", "&#34;"))) {
            text = in.replace(text, mark.getKey(), mark.getValue(), -1);
        }
        return text;
    }

    private static Value indented(Interpreter run, Value own, Bound by) {
        if (!(own instanceof Value.Text text)) {
            throw new TemplateFault("indent needs a text, not " + Operators.described(own));
        }
        String indent = by.get("width").orElse(Value.Int.of(4)) instanceof Value.Text spaces
                ? spaces.text()
                : new Output(run.budget()).repeat(" ", by.integer("width", 4)).text();
        return new Value.Text(run.texts().indented(text.text(), indent, by.flag("first"), by.flag("blank")));
    }

    private static Value words(Interpreter run, String text) {
        run.budget().read(text.length());
        int count = 0;
        boolean inside = false;
        for (int point : text.codePoints().toArray()) {
            boolean word = Character.isLetterOrDigit(point) || point == '_';
            count += word && !inside ? 1 : 0;
            inside = word;
        }
        return Value.Int.of(count);
    }

    private static Value preset(Interpreter run, Value own, Bound by) {
        boolean missing = own instanceof Value.Undefined || (by.flag("boolean") && !Operators.truth(own));
        return missing ? by.get("default_value").orElse(new Value.Text("")) : own;
    }

    /** As transformers defines it: texts keep their letters, and no sign of HTML is escaped. */
    private static Value json(Interpreter run, Value own, Bound by) {
        Optional<String> indent = by.get("indent")
                .filter(width -> width != Value.None.NONE)
                .map(width -> width instanceof Value.Text spaces
                        ? spaces.text()
                        : new Output(run.budget())
                                .repeat(" ", Operators.index(width))
                                .text());
        List<Value> separators = by.get("separators")
                .filter(pair -> pair != Value.None.NONE)
                .map(run.operators()::list)
                .orElse(List.of(new Value.Text(indent.isPresent() ? "," : ", "), new Value.Text(": ")));
        if (separators.size() != 2
                || !(separators.get(0) instanceof Value.Text items)
                || !(separators.get(1) instanceof Value.Text keys)) {
            throw new TemplateFault("tojson needs two texts as separators");
        }
        Printer.Json style =
                new Printer.Json(by.flag("ensure_ascii"), by.flag("sort_keys"), indent, items.text(), keys.text());
        return new Value.Text(run.printer().json(own, style));
    }

    private static Value integer(Interpreter run, Value own, Bound by) {
        Operators.defined(own);
        Value preset = by.get("default").orElse(Value.Int.of(0));
        int base = by.integer("base", 10);
        if (base < 2 || base > 36) {
            throw new TemplateFault("int needs a base from 2 to 36");
        }
        return switch (own) {
            case Value.Text text -> parsed(run, text.text(), base).orElse(preset);
            case Value.Real real -> whole(real.value()).orElse(preset);
            default -> Operators.whole(own).<Value>map(Value.Int::new).orElse(preset);
        };
    }

    private static Optional<Value> whole(double value) {
        return Double.isFinite(value)
                ? Optional.of(new Value.Int(new BigDecimal(value).toBigInteger()))
                : Optional.empty();
    }

    private static Optional<Value> parsed(Interpreter run, String text, int base) {
        String digits = run.texts().strip(text, Optional.empty(), true, true).replaceAll("(?<=\\w)_(?=\\w)", "");
        if (digits.length() > Budget.BITS / 4) {
            throw new TemplateFault("a number has more than " + Budget.BITS / 4 + " digits");
        }
        String prefix = switch (base) {
            case 16 -> "0[xX]";
            case 8 -> "0[oO]";
            case 2 -> "0[bB]";
            default -> "(?!)";
        };
        try {
            return Optional.of(
                    Arithmetic.bounded(new BigInteger(digits.replaceFirst("^([+-]?)" + prefix, "$1"), base)));
        } catch (NumberFormatException noInteger) {
            return base == 10 ? decimal(digits).flatMap(Filters::whole) : Optional.empty();
        }
    }

    /** A float as Python reads it; Java's own reader also takes a type suffix and hexadecimal digits. */
    private static Optional<Double> decimal(String digits) {
        String lower = digits.toLowerCase(Locale.ROOT);
        boolean negative = lower.startsWith("-");
        String unsigned = negative || lower.startsWith("+") ? lower.substring(1) : lower;
        double sign = negative ? -1 : 1;
        if (unsigned.equals("inf") || unsigned.equals("infinity")) {
            return Optional.of(sign * Double.POSITIVE_INFINITY);
        }
        if (unsigned.equals("nan")) {
            return Optional.of(Double.NaN);
        }
        return unsigned.matches("([0-9]+\\.?[0-9]*|\\.[0-9]+)(e[+-]?[0-9]+)?")
                ? Optional.of(sign * Double.parseDouble(unsigned))
                : Optional.empty();
    }

    private static Value real(Interpreter run, Value own, Bound by) {
        Operators.defined(own);
        Value preset = by.get("default").orElse(new Value.Real(0));
        if (own instanceof Value.Text text) {
            String digits = run.texts().strip(text.text(), Optional.empty(), true, true);
            if (digits.length() > Budget.BITS / 4) {
                throw new TemplateFault("a number has more than " + Budget.BITS / 4 + " digits");
            }
            return decimal(digits.replaceAll("(?<=\\w)_(?=\\w)", ""))
                    .<Value>map(Value.Real::new)
                    .orElse(preset);
        }
        return Operators.real(own).<Value>map(Value.Real::new).orElse(preset);
    }

    private static Value magnitude(Value own) {
        Operators.defined(own);
        if (own instanceof Value.Real real) {
            return new Value.Real(Math.abs(real.value()));
        }
        return Operators.whole(own)
                .map(number -> Arithmetic.bounded(number.abs()))
                .orElseThrow(() -> new TemplateFault("abs needs a number, not " + Operators.described(own)));
    }

    /** To the nearest, and to the even one of two, by the exact value, as Python; or up or down. */
    private static Value rounded(Value own, Bound by) {
        Operators.defined(own);
        int precision = by.integer("precision", 0);
        String method = by.text("method").orElse("common");
        double value = Operators.real(own)
                .orElseThrow(() -> new TemplateFault("round needs a number, not " + Operators.described(own)));
        RoundingMode mode = switch (method) {
            case "common" -> RoundingMode.HALF_EVEN;
            case "ceil" -> RoundingMode.CEILING;
            case "floor" -> RoundingMode.FLOOR;
            default -> throw new TemplateFault("round knows the methods common, ceil and floor");
        };
        if (Math.abs(precision) > 400) {
            throw new TemplateFault("round needs a precision from -400 to 400");
        }
        Optional<BigInteger> whole = Operators.whole(own).filter(ignored -> method.equals("common"));
        if (whole.isPresent()) {
            return precision >= 0
                    ? new Value.Int(whole.get())
                    : Arithmetic.bounded(new BigDecimal(whole.get())
                            .setScale(precision, mode)
                            .toBigInteger());
        }
        if (!Double.isFinite(value)) {
            return new Value.Real(value);
        }
        if (method.equals("common")) {
            double result = new BigDecimal(value).setScale(precision, mode).doubleValue();
            return new Value.Real(Math.copySign(result, value));
        }
        // Jinja2 itself scales in floats
        double scale = Math.pow(10, precision);
        double scaled = value * scale;
        return new Value.Real((mode == RoundingMode.CEILING ? Math.ceil(scaled) : Math.floor(scaled)) / scale);
    }

    /** What a filter of lists gives: iterated once, without length or index. */
    static Value stream(List<Value> items) {
        return new Value.Stream(Collections.unmodifiableList(items).iterator());
    }
}
