package dev.adapt.train.template;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.IntConsumer;

/** The operators of Python on values: truth, equality, order, arithmetic, membership, indices and slices. */
final class Operators {
    private static final BigInteger LARGEST_INDEX = BigInteger.valueOf(Integer.MAX_VALUE);
    private static final BigInteger SMALLEST_INDEX = LARGEST_INDEX.negate();

    private final Budget budget;

    Operators(Budget budget) {
        this.budget = budget;
    }

    static String described(Value value) {
        return switch (value) {
            case Value.Text ignored -> "a text";
            case Value.Int ignored -> "an integer";
            case Value.Real ignored -> "a float";
            case Value.Bool ignored -> "a boolean";
            case Value.None ignored -> "none";
            case Value.Undefined ignored -> "an undefined value";
            case Value.Sequence sequence -> "a " + sequence.kind().python;
            case Value.Dict ignored -> "a dict";
            case Value.Stream ignored -> "a generator";
            case Value.Namespace ignored -> "a namespace";
            case Value.Callable callable -> "the function '" + callable.name + "'";
            case Value.LoopState ignored -> "a loop";
        };
    }

    static boolean truth(Value value) {
        return switch (value) {
            case Value.Text text -> !text.text().isEmpty();
            case Value.Int number -> number.value().signum() != 0;
            case Value.Real real -> real.value() != 0;
            case Value.Bool bool -> bool.value();
            case Value.None ignored -> false;
            case Value.Undefined ignored -> false;
            case Value.Sequence sequence -> !sequence.items().isEmpty();
            case Value.Dict dict -> !dict.entries().isEmpty();
            default -> true;
        };
    }

    /** An integer or boolean as an index; what is beyond 32 bits is beyond every list. */
    static int index(Value value) {
        return whole(value)
                .map(number -> number.min(LARGEST_INDEX).max(SMALLEST_INDEX).intValue())
                .orElseThrow(() -> new TemplateFault("expected an integer and found " + described(value)));
    }

    /** An integer, or a boolean as 0 or 1. */
    static Optional<BigInteger> whole(Value value) {
        return switch (value) {
            case Value.Int number -> Optional.of(number.value());
            case Value.Bool bool -> Optional.of(bool.value() ? BigInteger.ONE : BigInteger.ZERO);
            default -> Optional.empty();
        };
    }

    /** Any number as a float. */
    static Optional<Double> real(Value value) {
        return value instanceof Value.Real real
                ? Optional.of(real.value())
                : whole(value).map(BigInteger::doubleValue);
    }

    boolean same(Value left, Value right) {
        budget.enter();
        boolean same = switch (left) {
            case Value.Text a
            when right instanceof Value.Text b -> {
                budget.read(Math.min(a.text().length(), b.text().length()));
                yield a.text().equals(b.text());
            }
            case Value.Sequence a
            when right instanceof Value.Sequence b -> a.kind() == b.kind() && sameItems(a.items(), b.items());
            case Value.Dict a when right instanceof Value.Dict b -> sameEntries(a, b);
            case Value.Undefined ignored -> right instanceof Value.Undefined;
            case Value.None ignored -> right == Value.None.NONE;
            default -> areNumbers(left, right) ? sameNumbers(left, right) : left.equals(right);
        };
        budget.leave();
        return same;
    }

    private static boolean areNumbers(Value left, Value right) {
        return real(left).isPresent() && real(right).isPresent();
    }

    private static boolean sameNumbers(Value left, Value right) {
        return !isNan(left) && !isNan(right) && orderOfNumbers(left, right) == 0;
    }

    private boolean sameItems(List<Value> left, List<Value> right) {
        boolean same = left.size() == right.size();
        for (int i = 0; same && i < left.size(); i++) {
            same = same(left.get(i), right.get(i));
        }
        return same;
    }

    private boolean sameEntries(Value.Dict left, Value.Dict right) {
        boolean same = left.entries().size() == right.entries().size();
        Iterator<Map.Entry<Value, Value>> entries = left.entries().entrySet().iterator();
        while (same && entries.hasNext()) {
            Map.Entry<Value, Value> entry = entries.next();
            same = right.get(entry.getKey())
                    .filter(other -> same(entry.getValue(), other))
                    .isPresent();
        }
        return same;
    }

    private static boolean isNan(Value value) {
        return value instanceof Value.Real real && Double.isNaN(real.value());
    }

    private static int orderOfNumbers(Value left, Value right) {
        return isFinite(left) && isFinite(right)
                ? decimal(left).compareTo(decimal(right))
                : Double.compare(beyond(left), beyond(right));
    }

    private static boolean isFinite(Value value) {
        return !(value instanceof Value.Real real) || Double.isFinite(real.value());
    }

    /** Infinity or NaN, or any finite number for all others. */
    private static double beyond(Value value) {
        return value instanceof Value.Real real && !isFinite(value) ? real.value() : 0;
    }

    private static BigDecimal decimal(Value value) {
        return value instanceof Value.Real real
                ? new BigDecimal(real.value())
                : new BigDecimal(whole(value).orElseThrow());
    }

    /** A total order of numbers, of texts and of lists of such; NaN is above all numbers. */
    int order(Value left, Value right) {
        budget.enter();
        int order;
        if (left instanceof Value.Text a && right instanceof Value.Text b) {
            budget.read(Math.min(a.text().length(), b.text().length()));
            order = orderOfTexts(a.text(), b.text());
        } else if (left instanceof Value.Sequence a && right instanceof Value.Sequence b && a.kind() == b.kind()) {
            order = Integer.compare(a.items().size(), b.items().size());
            for (int i = 0; i < Math.min(a.items().size(), b.items().size()); i++) {
                if (!same(a.items().get(i), b.items().get(i))) {
                    order = order(a.items().get(i), b.items().get(i));
                    break;
                }
            }
        } else if (areNumbers(left, right)) {
            order = orderOfNumbers(left, right);
        } else {
            throw new TemplateFault(described(left) + " and " + described(right) + " have no order");
        }
        budget.leave();
        return order;
    }

    /** By code points, as Python; Java's order is by UTF-16 code units. */
    private static int orderOfTexts(String left, String right) {
        int end = Math.min(left.length(), right.length());
        int at = 0;
        while (at < end && left.charAt(at) == right.charAt(at)) {
            at++;
        }
        if (at == end) {
            return Integer.compare(left.length(), right.length());
        }
        char a = left.charAt(at);
        char b = right.charAt(at);
        return Character.isSurrogate(a) == Character.isSurrogate(b)
                ? Character.compare(a, b)
                : Character.isSurrogate(a) ? 1 : -1;
    }

    boolean compare(String operator, Value left, Value right) {
        return switch (operator) {
            case "==" -> same(left, right);
            case "!=" -> !same(left, right);
            case "in" -> contains(right, left);
            case "not in" -> !contains(right, left);
            default -> {
                int order = order(defined(left), defined(right));
                boolean ordered = !isNan(left) && !isNan(right);
                yield ordered
                        && switch (operator) {
                            case "<" -> order < 0;
                            case "<=" -> order <= 0;
                            case ">" -> order > 0;
                            default -> order >= 0;
                        };
            }
        };
    }

    /** The value, unless it is undefined. */
    static Value defined(Value value) {
        if (value instanceof Value.Undefined undefined) {
            throw new TemplateFault(undefined.reason());
        }
        return value;
    }

    boolean contains(Value container, Value item) {
        return switch (container) {
            case Value.Text text -> {
                if (!(item instanceof Value.Text part)) {
                    throw new TemplateFault("'in' a text needs a text before it, not " + described(item));
                }
                budget.read(text.text().length() + (long) part.text().length());
                yield new TextSearch(part.text()).in(text.text(), 0) >= 0;
            }
            case Value.Dict dict -> dict.get(item).isPresent();
            default -> {
                Iterator<Value> items = iterator(container);
                while (items.hasNext()) {
                    if (same(items.next(), item)) {
                        yield true;
                    }
                }
                yield false;
            }
        };
    }

    /** The items of a list, keys of a dict or characters of a text. */
    Iterator<Value> iterator(Value value) {
        return switch (value) {
            case Value.Sequence sequence -> sequence.items().iterator();
            case Value.Dict dict -> dict.entries().keySet().iterator();
            case Value.Stream stream -> stream.rest();
            case Value.Undefined ignored -> List.<Value>of().iterator();
            case Value.Text text -> {
                budget.read(text.text().length());
                yield text.text()
                        .codePoints()
                        .mapToObj(point -> (Value) new Value.Text(Character.toString(point)))
                        .iterator();
            }
            default -> throw new TemplateFault(described(value) + " has no items");
        };
    }

    List<Value> list(Value value) {
        List<Value> items = new ArrayList<>();
        iterator(value).forEachRemaining(item -> {
            budget.items(1, items.size() + 1L);
            items.add(item);
        });
        return items;
    }

    /** Characters of a text, items of a list, entries of a dict; nothing for what has no length. */
    Optional<Integer> length(Value value) {
        return switch (value) {
            case Value.Text text -> {
                budget.read(text.text().length());
                yield Optional.of(text.text().codePointCount(0, text.text().length()));
            }
            case Value.Sequence sequence -> Optional.of(sequence.items().size());
            case Value.Dict dict -> Optional.of(dict.entries().size());
            case Value.Undefined ignored -> Optional.of(0);
            default -> Optional.empty();
        };
    }

    /** The item at an index, counted from the end where it is negative. */
    Optional<Value> item(Value target, Value index) {
        if (whole(index).isEmpty()) {
            return Optional.empty();
        }
        int place = index(index);
        return switch (target) {
            case Value.Sequence sequence
            when sequence.kind().indexed -> {
                int at = place < 0 ? place + sequence.items().size() : place;
                yield at < 0 || at >= sequence.items().size()
                        ? Optional.empty()
                        : Optional.of(sequence.items().get(at));
            }
            case Value.Text text -> {
                int length = length(text).orElseThrow();
                int at = place < 0 ? place + length : place;
                yield at < 0 || at >= length
                        ? Optional.empty()
                        : Optional.of(new Value.Text(characters(text.text(), at, at + 1)));
            }
            default -> Optional.empty();
        };
    }

    private static String characters(String text, int from, int to) {
        int start = text.offsetByCodePoints(0, from);
        return text.substring(start, text.offsetByCodePoints(start, to - from));
    }

    Value slice(Value target, Value from, Value to, Value step) {
        int stride = step == Value.None.NONE ? 1 : index(step);
        if (stride == 0) {
            throw new TemplateFault("the step of a slice is 0");
        }
        return switch (target) {
            case Value.Sequence sequence
            when sequence.kind().indexed -> {
                List<Value> items = sequence.items();
                List<Value> part = new ArrayList<>();
                forEachOf(from, to, stride, items.size(), at -> {
                    budget.items(1, part.size() + 1L);
                    part.add(items.get(at));
                });
                yield new Value.Sequence(sequence.kind(), part);
            }
            case Value.Text text -> {
                int length = length(text).orElseThrow();
                int[] points = text.text().codePoints().toArray();
                Output part = new Output(budget);
                forEachOf(from, to, stride, length, at -> part.append(points[at]));
                yield new Value.Text(part.text());
            }
            default -> throw new TemplateFault(described(target) + " has no slices");
        };
    }

    private static void forEachOf(Value from, Value to, int step, int size, IntConsumer taken) {
        boolean up = step > 0;
        long start = from == Value.None.NONE ? (up ? 0 : size - 1) : bound(index(from), size, up);
        long end = to == Value.None.NONE ? (up ? size : -1) : bound(index(to), size, up);
        for (long at = start; up ? at < end : at > end; at += step) {
            taken.accept((int) at);
        }
    }

    private static long bound(int index, int size, boolean up) {
        long at = index < 0 ? (long) index + size : index;
        return Math.clamp(at, up ? 0 : -1, up ? size : size - 1L);
    }
}
