package dev.adapt.formats.method.gain;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.Region;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * GLoRA: {@code W' = W + W ⊙ A + B} and {@code b' = b + b ⊙ D + E + W·C} (Chavan et al., "One-for-All: Generalized LoRA",
 * arXiv 2306.07967, equation 10). Each of the five is a product of rank r, a vector, a number or nothing; all start at 0.
 * C, D and E are nothing where the layer has no bias.
 *
 * @param ab the form of A [out, in] and B [out, in]
 * @param c the form of C [in, 1]; no number
 * @param de the form of D [out] and E [out]; no product
 */
public record Glora(int rank, Form ab, Form c, Form de) implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "GLORA",
            "glora",
            (config, metadata) -> of(config),
            MethodType.Training.at(1e-3).rank("r", 8));

    private static final List<String> PATHS = List.of("A", "B", "C", "D", "E");

    /** What one of the five is made of. */
    public enum Form {
        /** A product {@code Xd·Xu} of rank r. */
        LORA,
        /** A number for each row. */
        VECTOR,
        /** One number. */
        CONSTANT,
        /** Zeros, which PEFT stores. */
        NONE
    }

    private static Glora of(AdapterConfig config) {
        Form de = form(config, "config_D_E", Form.CONSTANT);
        if (de == Form.LORA) {
            throw config.document().wrong("config_D_E", "constant, vector or none");
        }
        Form c = form(config, "config_C", Form.LORA);
        if (c == Form.CONSTANT) {
            throw config.document().wrong("config_C", "lora, vector or none");
        }
        return new Glora(config.rank(8), form(config, "config_A_B", Form.LORA), c, de);
    }

    private static Form form(AdapterConfig config, String field, Form usual) {
        String name = config.document().string(field).orElse(usual.name()).toUpperCase(Locale.ROOT);
        return Stream.of(Form.values())
                .filter(form -> form.name().equals(name))
                .findFirst()
                .orElseThrow(() -> config.document().wrong(field, "lora, vector, constant or none"));
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public String title() {
        return "GLoRA";
    }

    @Override
    public List<String> partNames() {
        return PATHS.stream()
                .flatMap(path -> Stream.of("Xd", "Xu", "X", "zeros").map(each -> name(path, each)))
                .toList();
    }

    private static String name(String path, String tensor) {
        return "glora_" + path + "." + tensor;
    }

    @Override
    public Set<String> configFields() {
        return Set.of("config_A_B", "config_C", "config_D_E", "init_weights");
    }

    @Override
    public int rank(Target target) {
        return rank;
    }

    @Override
    public boolean hasLowRankDelta() {
        return false;
    }

    @Override
    public boolean isAdditive() {
        return false;
    }

    @Override
    public boolean changesBias() {
        return true;
    }

    @Override
    public Optional<String> undefined(Target target) {
        return target.unlessLinear(title());
    }

    private static Form form(Form wanted, Target target) {
        return target.biased() ? wanted : Form.NONE;
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        List<Part> parts = new ArrayList<>();
        for (String path : List.of("A", "B")) {
            parts.addAll(parts(path, ab, Shape.of(target.out(), target.in())));
        }
        parts.addAll(parts("C", form(c, target), Shape.of(target.in(), 1)));
        for (String path : List.of("D", "E")) {
            parts.addAll(parts(path, form(de, target), Shape.of(target.out())));
        }
        return parts;
    }

    private List<Part> parts(String path, Form form, Shape shape) {
        Initial zero = new Initial.Constant(0);
        long columns = shape.rank() == 1 ? 1 : shape.dim(1);
        return switch (form) {
            case LORA ->
                List.of(
                        Part.trained(name(path, "Xd"), Shape.of(shape.dim(0), rank), zero),
                        Part.trained(
                                name(path, "Xu"), Shape.of(rank, columns), new Initial.KaimingUniform((int) columns)));
            case VECTOR ->
                List.of(Part.trained(name(path, "X"), shape.rank() == 1 ? shape : Shape.of(shape.dim(0), 1), zero));
            case CONSTANT -> List.of(Part.trained(name(path, "X"), Shape.of(1), zero));
            case NONE -> List.of(Part.frozen(name(path, "zeros"), shape, zero));
        };
    }

    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        WeightChange<T> change = WeightChange.of(new Delta.Transform<>(Delta.Scope.ELEMENT, (tile, w, region) -> {
            Optional<T> gain = matrix(tile, "A", part, region);
            T scaled = gain.isPresent() ? tile.mul(w, tile.affine(gain.get(), 1, 1)) : w;
            return matrix(tile, "B", part, region)
                    .map(added -> tile.add(scaled, added))
                    .orElse(scaled);
        }));
        return target.biased()
                ? change.with(new WeightChange.BiasChange<>(old -> bias(ops, old.orElseThrow(), part, weight), false))
                : change;
    }

    /** A or B in a region, or what broadcasts to it. */
    private <T> Optional<T> matrix(MatrixOps<T> ops, String path, Function<String, T> part, Region region) {
        return switch (ab) {
            case LORA ->
                Optional.of(ops.matMul(
                        ops.slice(part.apply(name(path, "Xd")), 0, region.row(), region.rowEnd()),
                        ops.slice(part.apply(name(path, "Xu")), 1, region.column(), region.columnEnd())));
            case VECTOR -> Optional.of(ops.slice(part.apply(name(path, "X")), 0, region.row(), region.rowEnd()));
            case CONSTANT -> Optional.of(ops.reshape(part.apply(name(path, "X")), 1, 1));
            case NONE -> Optional.empty();
        };
    }

    private <T> T bias(MatrixOps<T> ops, T old, Function<String, T> part, Supplier<T> weight) {
        T changed = old;
        if (de != Form.NONE) {
            T scaled = ops.mul(old, ops.affine(part.apply(name("D", "X")), 1, 1));
            changed = ops.add(scaled, part.apply(name("E", "X")));
        }
        if (c == Form.NONE) {
            return changed;
        }
        T inputs = c == Form.LORA
                ? ops.matMul(part.apply(name("C", "Xd")), part.apply(name("C", "Xu")))
                : part.apply(name("C", "X"));
        return ops.add(changed, ops.reshape(ops.matMul(weight.get(), inputs), -1));
    }

    @Override
    public void describe(ObjectNode config) {
        config.put("r", rank);
        config.put("config_A_B", ab.name().toLowerCase(Locale.ROOT));
        config.put("config_C", c.name().toLowerCase(Locale.ROOT));
        config.put("config_D_E", de.name().toLowerCase(Locale.ROOT));
        config.put("init_weights", true);
    }
}
