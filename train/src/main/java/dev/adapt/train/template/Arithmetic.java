package dev.adapt.train.template;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** {@code + - * / // % **} as Python has them: integers are exact, floats are doubles, division is rounded down. */
final class Arithmetic {
    private final Budget budget;

    Arithmetic(Budget budget) {
        this.budget = budget;
    }

    Value apply(String operator, Value left, Value right) {
        Operators.defined(left);
        Operators.defined(right);
        Optional<BigInteger> a = Operators.whole(left);
        Optional<BigInteger> b = Operators.whole(right);
        if (a.isPresent() && b.isPresent()) {
            return integers(operator, a.get(), b.get());
        }
        Optional<Double> x = Operators.real(left);
        Optional<Double> y = Operators.real(right);
        if (x.isPresent() && y.isPresent()) {
            return new Value.Real(reals(operator, x.get(), y.get()));
        }
        return switch (operator) {
            case "+" -> sum(left, right);
            case "*" ->
                b.isPresent()
                        ? repeated(left, right)
                        : a.isPresent() ? repeated(right, left) : fault(operator, left, right);
            case "%" -> {
                if (left instanceof Value.Text) {
                    throw new TemplateFault("the operator '%' on a text is not supported");
                }
                yield fault(operator, left, right);
            }
            default -> fault(operator, left, right);
        };
    }

    private static Value fault(String operator, Value left, Value right) {
        throw new TemplateFault("'" + operator + "' cannot be applied to " + Operators.described(left) + " and "
                + Operators.described(right));
    }

    private static Value integers(String operator, BigInteger a, BigInteger b) {
        boolean divides = operator.equals("/") || operator.equals("//") || operator.equals("%");
        if (divides && b.signum() == 0) {
            throw new TemplateFault("a division by zero");
        }
        return switch (operator) {
            case "+" -> bounded(a.add(b));
            case "-" -> bounded(a.subtract(b));
            case "*" -> bounded(a.multiply(b));
            case "/" -> new Value.Real(quotient(a, b));
            case "//" -> {
                BigInteger[] both = a.divideAndRemainder(b);
                boolean down = both[1].signum() != 0 && both[1].signum() != b.signum();
                yield bounded(down ? both[0].subtract(BigInteger.ONE) : both[0]);
            }
            case "%" -> {
                BigInteger rest = a.remainder(b);
                yield bounded(rest.signum() != 0 && rest.signum() != b.signum() ? rest.add(b) : rest);
            }
            default -> power(a, b);
        };
    }

    private static double quotient(BigInteger a, BigInteger b) {
        double x = a.doubleValue();
        double y = b.doubleValue();
        if (a.bitLength() <= 53 && b.bitLength() <= 53) {
            return x / y;
        }
        throw new TemplateFault("the division of an integer of more than 53 bits is not supported");
    }

    private static Value power(BigInteger a, BigInteger b) {
        if (b.signum() < 0) {
            return new Value.Real(reals("**", a.doubleValue(), b.doubleValue()));
        }
        // 0, 1 and -1 do not grow
        boolean grows = a.bitLength() > 1 || a.equals(BigInteger.TWO.negate());
        if (grows && (b.bitLength() > 31 || (a.bitLength() - 1L) * b.longValue() > Budget.BITS)) {
            return bounded(BigInteger.ONE.shiftLeft(Budget.BITS));
        }
        int exponent = grows ? b.intValue() : b.signum() == 0 ? 0 : b.testBit(0) ? 1 : 2;
        return bounded(a.pow(exponent));
    }

    static Value bounded(BigInteger value) {
        if (value.bitLength() > Budget.BITS) {
            throw new TemplateFault("it makes an integer of more than " + Budget.BITS + " bits");
        }
        return new Value.Int(value);
    }

    private static double reals(String operator, double a, double b) {
        if (b == 0 && (operator.equals("/") || operator.equals("//") || operator.equals("%"))) {
            throw new TemplateFault("a division by zero");
        }
        return switch (operator) {
            case "+" -> a + b;
            case "-" -> a - b;
            case "*" -> a * b;
            case "/" -> a / b;
            case "//" -> (a - remainder(a, b)) / b;
            case "%" -> remainder(a, b);
            default -> {
                double power = Math.pow(a, b);
                boolean finite = Double.isFinite(a) && Double.isFinite(b);
                if (finite && !Double.isFinite(power)) {
                    throw new TemplateFault("a power is not a finite number");
                }
                yield power;
            }
        };
    }

    private static double remainder(double a, double b) {
        double rest = a % b;
        return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
    }

    private Value sum(Value left, Value right) {
        if (left instanceof Value.Text a && right instanceof Value.Text b) {
            return new Value.Text(
                    new Output(budget).append(a.text()).append(b.text()).text());
        }
        if (left instanceof Value.Sequence a
                && right instanceof Value.Sequence b
                && a.kind() == b.kind()
                && (a.kind() == Value.Kind.LIST || a.kind() == Value.Kind.TUPLE)) {
            int size = a.items().size() + b.items().size();
            budget.items(size, size);
            List<Value> items = new ArrayList<>(size);
            items.addAll(a.items());
            items.addAll(b.items());
            return new Value.Sequence(a.kind(), items);
        }
        return fault("+", left, right);
    }

    private Value repeated(Value value, Value count) {
        int times = Math.max(0, Operators.index(count));
        if (value instanceof Value.Text text) {
            return new Value.Text(new Output(budget).repeat(text.text(), times).text());
        }
        if (value instanceof Value.Sequence sequence
                && (sequence.kind() == Value.Kind.LIST || sequence.kind() == Value.Kind.TUPLE)) {
            long size = (long) sequence.items().size() * times;
            budget.items(size, size);
            List<Value> items = new ArrayList<>((int) size);
            for (int i = 0; i < times && !sequence.items().isEmpty(); i++) {
                items.addAll(sequence.items());
            }
            return new Value.Sequence(sequence.kind(), items);
        }
        return fault("*", value, count);
    }
}
