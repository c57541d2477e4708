package dev.adapt.verify.runner;

import dev.adapt.formats.tensor.DoubleTensor;
import dev.adapt.formats.tensor.Tensor;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;

/**
 * One form of a model, and the engine that runs it.
 *
 * @param name what the report calls it, for example {@code merged (DJL, CPU)}
 * @param precision that it computes in; FLOAT32 for whatever is as exact or more
 * @param stored what its weights were rounded to; FLOAT32 where they were not, or all forms hold the same
 * @param outputs the names of the outputs that it can give
 * @param incomparable the names of further outputs that hold no floating-point tensor, each with what it holds instead
 * @param run one run of it
 */
public record Runner(
        String name,
        Precision precision,
        Precision stored,
        List<String> outputs,
        Map<String, String> incomparable,
        Run run) {
    /** Computes the wanted outputs, by name, from inputs by name; integer inputs are [batch, sequence]. */
    @FunctionalInterface
    public interface Run {
        Map<String, DoubleTensor> outputs(Map<String, Tensor> inputs, Set<String> wanted);
    }

    public Runner {
        outputs = List.copyOf(outputs);
        incomparable = Map.copyOf(incomparable);
    }

    /** A form whose weights were not rounded. */
    public Runner(String name, Precision precision, List<String> outputs, Map<String, String> incomparable, Run run) {
        this(name, precision, Precision.FLOAT32, outputs, incomparable, run);
    }

    /** A form in float32 or wider. */
    public Runner(String name, List<String> outputs, Run run) {
        this(name, Precision.FLOAT32, outputs, Map.of(), run);
    }

    /** The same form, of weights that were rounded. */
    public Runner storedIn(Precision rounded) {
        return new Runner(name, precision, rounded, outputs, incomparable, run);
    }

    /** The same form, run otherwise: with outputs that were recorded, for example. */
    public Runner running(Run other) {
        return new Runner(name, precision, stored, outputs, incomparable, other);
    }

    /** The precision to which this and another form can agree. */
    public Precision precisionBeside(Runner other) {
        Precision computed = precision.or(other.precision);
        return stored == other.stored ? computed : computed.or(stored).or(other.stored);
    }

    /** A form with a single output, called {@code output}. */
    static Runner single(String name, Precision precision, Function<Map<String, Tensor>, DoubleTensor> run) {
        String output = "output";
        return new Runner(
                name, precision, List.of(output), Map.of(), (inputs, wanted) -> Map.of(output, run.apply(inputs)));
    }

    /** A form in float32 or wider with a single output, called {@code output}. */
    public static Runner single(String name, Function<Map<String, Tensor>, DoubleTensor> run) {
        return single(name, Precision.FLOAT32, run);
    }
}
