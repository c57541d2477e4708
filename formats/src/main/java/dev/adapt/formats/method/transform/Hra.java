package dev.adapt.formats.method.transform;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.adapt.formats.algebra.Delta;
import dev.adapt.formats.algebra.MatrixOps;
import dev.adapt.formats.algebra.WeightChange;
import dev.adapt.formats.method.AdapterConfig;
import dev.adapt.formats.method.AdapterMethod;
import dev.adapt.formats.method.Initial;
import dev.adapt.formats.method.MethodType;
import dev.adapt.formats.method.Part;
import dev.adapt.formats.method.Target;
import dev.adapt.formats.tensor.FloatTensor;
import dev.adapt.formats.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * HRA: {@code W' = W·H₁···Hᵣ} for reflections {@code Hᵢ = I - 2·uᵢ·uᵢᵀ/‖uᵢ‖²} of the inputs, the columns of U [in, r]
 * trained (Yuan, Liu and Xu, arXiv 2405.17484, equation 4). Columns start in equal pairs, whose reflections cancel. With
 * {@code apply_GS} the columns are made orthonormal first, by Gram-Schmidt, and {@code W' = W·(I - 2·U·Uᵀ)}.
 *
 * @param ownRank r
 * @param orthogonal whether the columns are made orthonormal
 */
public record Hra(int ownRank, boolean orthogonal) implements AdapterMethod {
    /** This method in the list of methods. */
    public static final MethodType TYPE = new MethodType(
            "HRA",
            "hra",
            (config, metadata) -> of(config),
            MethodType.Training.at(1e-3).rank("r", 8));

    private static final String U = "hra_u";
    private static final String GRAM_SCHMIDT = "apply_GS";

    private static Hra of(AdapterConfig config) {
        return new Hra(config.rank(8), config.document().flag(GRAM_SCHMIDT, false));
    }

    @Override
    public String peftType() {
        return TYPE.peftType();
    }

    @Override
    public List<String> partNames() {
        return List.of(U);
    }

    @Override
    public Set<String> configFields() {
        return Set.of(GRAM_SCHMIDT, "init_weights");
    }

    @Override
    public int rank(Target target) {
        return ownRank;
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
    public Delta.Scope scope() {
        return Delta.Scope.ROW;
    }

    @Override
    public Optional<String> untrainable() {
        if (orthogonal) {
            return Optional.of("with " + GRAM_SCHMIDT + " no start leaves the base as it is; train without it");
        }
        return ownRank % 2 == 0
                ? Optional.empty()
                : Optional.of("r is " + ownRank + ", and the base is left as it is only where reflections pair; give an"
                        + " even r");
    }

    @Override
    public Optional<String> undefined(Target target) {
        return target.embedding()
                ? Optional.of("is an embedding, and HRA reflects the inputs of linear layers and convolutions")
                : Optional.empty();
    }

    @Override
    public Optional<String> misfit(Target target) {
        return undefined(target).or(() -> target.unlessInputsTake(ownRank));
    }

    @Override
    public List<Part> parts(Target target, List<Target> all) {
        Initial initial = ownRank % 2 == 0 ? new Initial.TwinColumns(ownRank / 2) : new Initial.KaimingUniform(ownRank);
        return List.of(Part.trained(U, Shape.of(target.in(), ownRank), initial));
    }

    /**
     * A product of reflections is {@code I - V·T·Vᵀ} for unit columns V and the triangular {@code T⁻¹ = I/2 + (VᵀV above its
     * diagonal)} (Puglisi, SIAM J. Sci. Stat. Comput. 13, 1992): two products of low rank for each tile.
     */
    @Override
    public <T> WeightChange<T> change(MatrixOps<T> ops, Target target, Function<String, T> part, Supplier<T> weight) {
        T v = orthogonal ? orthonormal(ops, part.apply(U)) : unit(ops, part.apply(U));
        T right = orthogonal
                ? ops.affine(ops.transpose(v, 1, 0), 2, 0)
                : ops.matMul(triangle(ops, v), ops.transpose(v, 1, 0));
        return WeightChange.of(new Delta.Transform<>(
                Delta.Scope.ROW, (tile, w, region) -> tile.subtract(w, tile.matMul(tile.matMul(w, v), right))));
    }

    /** Columns divided by their lengths. */
    private static <T> T unit(MatrixOps<T> ops, T columns) {
        return ops.div(columns, ops.sqrt(ops.sum(ops.mul(columns, columns), 0)));
    }

    private <T> T triangle(MatrixOps<T> ops, T v) {
        float[] above = new float[ownRank * ownRank];
        float[] half = new float[ownRank * ownRank];
        for (int row = 0; row < ownRank; row++) {
            half[row * ownRank + row] = 0.5f;
            for (int column = row + 1; column < ownRank; column++) {
                above[row * ownRank + column] = 1;
            }
        }
        Shape square = Shape.of(ownRank, ownRank);
        T gram = ops.mul(ops.matMul(ops.transpose(v, 1, 0), v), ops.constant(new FloatTensor(square, above)));
        T inverse = ops.add(gram, ops.constant(new FloatTensor(square, half)));
        return ops.reshape(ops.inverse(ops.reshape(inverse, 1, ownRank, ownRank), 1, ownRank), ownRank, ownRank);
    }

    /** Gram-Schmidt, column by column. */
    private <T> T orthonormal(MatrixOps<T> ops, T columns) {
        List<T> done = new ArrayList<>();
        for (int i = 0; i < ownRank; i++) {
            T column = ops.slice(columns, 1, i, i + 1L);
            for (T other : done) {
                column = ops.subtract(column, ops.mul(other, ops.sum(ops.mul(other, column), 0)));
            }
            done.add(unit(ops, column));
        }
        return done.size() == 1 ? done.getFirst() : ops.concat(1, done);
    }

    @Override
    public void describe(ObjectNode config) {
        config.put("r", ownRank);
        config.put(GRAM_SCHMIDT, orthogonal);
        config.put("init_weights", true);
    }
}
